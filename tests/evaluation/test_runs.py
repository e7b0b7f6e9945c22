"""Run files are read as trec_eval reads them, and what cannot be read is said with its line."""

import gzip
import random
from collections.abc import Mapping
from pathlib import Path

import ir_measures
import pytest
import pytrec_eval
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.errors import BadFile, BadRecord
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.qrels import read_qrels, write_qrels
from nearfar.evaluation.runs import read_run, write_run
from nearfar.evaluation.systems import told_of_run

IDS = [f"d{i}" for i in range(12)] + ["D1", "é1", "深"]  # 10 stands before 2, é after z
# Few different scores, some of which only float64 can tell apart.
SCORES = [1.0, 0.5, 0.5 + 1e-10, -2.0, 0.0, 3e38]
hits = st.dictionaries(st.sampled_from(IDS), st.sampled_from(SCORES), min_size=1)
runs = st.dictionaries(st.sampled_from(["1", "q2", "ü"]), hits, min_size=1)
grades = st.dictionaries(st.sampled_from(IDS), st.integers(0, 3), min_size=1)
judgments = st.dictionaries(st.sampled_from(["1", "q2", "ü", "missing"]), grades, min_size=1)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def written(path: Path, run: Mapping[str, Mapping[str, float]], gap: str = " ") -> Path:
    lines = [gap.join((query, "Q0", id_, "7", repr(score), "tag")) + "\n"
             for query, scores in run.items() for id_, score in scores.items()]  # fmt: skip
    random.Random(0).shuffle(lines)  # queries are mixed, and ranks are all the same
    path.write_text("".join(lines), encoding="utf-8")
    return path


@given(runs, judgments)
@same_folder
def test_metrics_of_a_file_are_those_of_trec_eval(
    tmp_path: Path, run: dict[str, dict[str, float]], judged: dict[str, dict[str, int]]
) -> None:
    judged = {query: of for query, of in judged.items() if max(of.values()) > 0}
    read = read_run(written(tmp_path / "r.trec", run))
    found = per_query(read, judged)
    theirs = {
        "ndcg_at_10_score": "ndcg_cut_10",
        "map_score": "map",
        "recall_at_10_score": "recall_10",
    }
    expected = pytrec_eval.RelevanceEvaluator(judged, set(theirs.values())).evaluate(run)
    for query in judged:
        for ours, name in theirs.items():
            value = expected.get(query, {}).get(name, 0.0)
            assert found[query][ours] == pytest.approx(value), (query, ours)


@given(runs, judgments)
@same_folder
def test_means_of_a_file_are_those_of_ir_measures(
    tmp_path: Path, run: dict[str, dict[str, float]], judged: dict[str, dict[str, int]]
) -> None:
    judged = {query: of for query, of in judged.items() if max(of.values()) > 0}
    if not judged:
        return
    path = written(tmp_path / "r.trec", run)
    write_qrels(tmp_path / "q.trec", judged)
    names = {"ndcg_at_10_score": "nDCG@10", "recall_at_10_score": "R@10", "map_score": "AP"}
    measures = {ours: ir_measures.parse_measure(name) for ours, name in names.items()}
    theirs = ir_measures.calc_aggregate(
        measures.values(),
        list(ir_measures.read_trec_qrels(str(tmp_path / "q.trec"))),
        list(ir_measures.read_trec_run(str(path))),
    )
    values = per_query(read_run(path), judged).values()
    for ours, measure in measures.items():
        assert sum(v[ours] for v in values) / len(judged) == pytest.approx(theirs[measure])


@given(runs)
@same_folder
def test_the_quick_way_and_the_slow_one_read_the_same(
    tmp_path: Path, run: dict[str, dict[str, float]]
) -> None:
    quick = read_run(written(tmp_path / "a.trec", run))
    for gap in ("\t", "  ", " \t"):
        slow = read_run(written(tmp_path / "b.trec", run, gap))
        assert dict(slow) == dict(quick)
        assert slow.tag == quick.tag == "tag"
    packed = tmp_path / "c.trec.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.trec").read_bytes()))
    assert dict(read_run(packed)) == dict(quick)


def test_equal_scores_are_ordered_by_falling_id(tmp_path: Path) -> None:
    path = tmp_path / "r.trec"
    path.write_text("q Q0 d10 1 0.5 t\n\nq Q0 d9 2 .5 t\r\nq Q0 é 3 5e-1 t\nq Q0 a 4 0.7 t\n")
    assert read_run(path)["q"] == ["a", "é", "d9", "d10"]


@given(st.dictionaries(st.sampled_from(["1", "ü"]), st.lists(st.sampled_from(IDS), unique=True)))
@same_folder
def test_what_was_written_is_read(tmp_path: Path, rankings: dict[str, list[str]]) -> None:
    for name in ("r.trec", "r.trec.gz"):
        write_run(tmp_path / name, rankings, tag="t")
        expected = {query: ids for query, ids in rankings.items() if ids}
        if expected:
            assert dict(read_run(tmp_path / name)) == expected


LINES = [f"q{i // 10} Q0 d{i % 10} {i % 10} {-i} t" for i in range(50)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("q Q0 my doc 1 0.5 t", "expected six columns"),
        ("q Q0 my\tdoc 1 0.5 t", "expected six columns"),
        ("q Q0  1 0.5 t", "expected six columns"),
        ("q Q0 d 1 high t", "expected a number as the score, found 'high'"),
        ("q Q0 d 1 nan t", "finite float32, found nan"),
        ("q Q0 d 1 -inf t", "finite float32, found -inf"),
        ("q Q0 d 1 1e39 t", "finite float32, found 1e"),
        ("q1 Q0 d3 1 0.5 t", "found 'd3' a second time for query 'q1'"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "r.trec"
    path.write_text("\n".join([*LINES[:30], "", line, *LINES[30:]]) + "\n")
    with pytest.raises(BadRecord, match=f"r.trec:32: .*{says}"):
        read_run(path)
    tabbed = "\n".join(one.replace(" ", "\t") for one in [*LINES[:30], ""])
    path.write_text(f"{tabbed}\n{line}\n")
    with pytest.raises(BadRecord, match=r"r.trec:32: "):
        read_run(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for content, says in ((b"", "is empty"), (b"\n \n", "only blank lines"),
                          (b"q Q0 d\xff 1 1 t\n", "expected UTF-8"),
                          (b"\x1f\x8bnothing packed", "gzip")):  # fmt: skip
        (tmp_path / "r").write_bytes(content)
        with pytest.raises(BadFile, match=says):
            read_run(tmp_path / "r")
    with pytest.raises(BadFile, match="no such file"):
        read_run(tmp_path / "none")


def test_what_the_format_cannot_say_is_not_written(tmp_path: Path) -> None:
    for rankings, tag in (({"q 1": ["d"]}, "t"), ({"q": ["d\t1"]}, "t"), ({"q": [""]}, "t"),
                          ({"q": ["d"]}, "my tag")):  # fmt: skip
        with pytest.raises(BadRecord, match="without spaces and tabs"):
            write_run(tmp_path / "r.trec", rankings, tag=tag)
    with pytest.raises(BadRecord, match="a document without"):
        write_qrels(tmp_path / "q.trec", {"q": {"d 1": 1}})
    assert list(tmp_path.iterdir()) == []


def test_queries_that_are_missing_or_strange_are_counted_and_told() -> None:
    missing, strange = told_of_run("bm25", {"a": [], "x": [], "y": []}, ["a", "b"], {})
    assert missing == "bm25 has nothing for 1 of 2 queries, such as 'b': what is missing counts 0."
    assert strange.startswith("bm25 has 2 queries that the test set does not score, such as 'x'")
    assert told_of_run("bm25", {"a": ["d"]}, ["a"], {"d"}) == []


def test_a_document_that_a_query_ranks_twice_is_found_among_many(tmp_path: Path) -> None:
    path = tmp_path / "r.trec"
    path.write_text("\n".join([*LINES, LINES[7], LINES[3]]))
    with pytest.raises(BadRecord, match=r"r.trec:51: .*'d7' a second time for query 'q0'"):
        read_run(path)


@given(judgments)
@same_folder
def test_qrels_that_were_written_are_read(
    tmp_path: Path, judged: dict[str, dict[str, int]]
) -> None:
    write_qrels(tmp_path / "q.trec", judged)
    assert read_qrels(tmp_path / "q.trec") == judged


def test_grades_are_whole_in_qrels_and_an_answer_stays_one(tmp_path: Path) -> None:
    nan = float("nan")
    write_qrels(tmp_path / "q.gz", {"q": {"a": 0.2, "b": 2.6, "c": nan, "d": 0.0}})
    assert gzip.decompress((tmp_path / "q.gz").read_bytes()) == b"q 0 a 1\nq 0 b 3\nq 0 d 0\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("q 0 my doc 1", "expected four columns"),
        ("q 0 d good", "expected a number as the grade, found 'good'"),
        ("q 0 d nan", "expected a number as the grade"),
        ("q 0 a 0", "found 'a' a second time for query 'q'"),
    ],
)
def test_a_bad_judgment_is_refused_with_its_line(line: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "q.trec").write_text(f"q 0 a 1\n{line}\n")
    with pytest.raises(BadRecord, match=f"q.trec:2: .*{says}"):
        read_qrels(tmp_path / "q.trec")
