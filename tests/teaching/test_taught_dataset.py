"""Teaching writes a dataset anew: scores, new candidates, and grades only where it may."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from doubles import LETTERS
from flat_angles import Line
from school import JUDGED, TEXTS, Judged, NumberReranker, as_it_is, judgments, school

from nearfar.data.check import check_dataset
from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, Stopped
from nearfar.records import Judgment
from nearfar.teaching.settings import Teaching
from nearfar.teaching.teach import Run, TeachingSummary, cache_of, teach
from nearfar.training.known import settle


def taught(tmp_path: Path, dataset: Dataset, **facts: object) -> TeachingSummary:
    settings = Teaching(**facts)  # type: ignore[arg-type]
    run = Run(calibration=as_it_is())
    return teach(NumberReranker(), dataset, tmp_path / "new", settings, run)


def test_every_judged_pair_of_train_gets_the_teachers_logit(tmp_path: Path) -> None:
    judged: list[Judged] = [*JUDGED, ("exam", "far", 1, "test", "human"),
                            ("dev", "near", 0, "dev", "human")]  # fmt: skip
    queries = {"q": "ask 0", "exam": "else 9", "dev": "more 4"}
    old = school(tmp_path / "data", TEXTS, judged, queries=queries)
    found = taught(tmp_path, old)
    scores = {pair: one.score for pair, one in judgments(tmp_path / "new").items()}
    assert scores == {("q", "answer"): 3, ("q", "near"): 2, ("q", "unsure"): 0, ("q", "far"): -6,
                      ("exam", "far"): None, ("dev", "near"): None}  # fmt: skip
    assert (found.queries, found.pairs, found.new_scores, found.unscored) == (1, 4, 4, 0)
    new = Dataset.open(tmp_path / "new")
    assert list(new.documents()) == list(old.documents())
    assert list(new.queries()) == list(old.queries())
    (parent,) = new.manifest["parents"]
    assert parent["digest"] == old.digest
    assert parent["taught_with"]["teachers"] == [{"kind": "reranker", "fingerprint": "a" * 16}]


def side(judgment: Judgment) -> str:
    if math.isnan(judgment.grade):
        return "neither"
    return "answer" if judgment.grade > 0 else "wrong"


def test_a_machines_doubtful_negatives_are_neither_pulled_nor_pushed(tmp_path: Path) -> None:
    found = taught(tmp_path, school(tmp_path / "data", TEXTS | {"best": "a 0"},
                                    [*JUDGED, ("q", "best", 0, "train", "mined")]))  # fmt: skip
    new = judgments(tmp_path / "new")
    sides = {pair[1]: (side(one), one.origin.kind) for pair, one in new.items()}
    assert sides == {
        "answer": ("answer", "human"),
        "near": ("neither", "taught"),  # likely, yet less so than the answer
        "unsure": ("neither", "taught"),
        "far": ("wrong", "mined"),
        "best": ("neither", "taught"),  # as good as the answer
    }
    assert {one.split for one in new.values()} == {"train"}
    best = new["q", "best"]
    assert best.score == 3
    facts = best.origin.facts
    assert (facts["verdict"], facts["was"], facts["was_by"]) == ("answer", "mined", "someone")
    assert (facts["teacher"], facts["score"], best.origin.source) == ("a" * 16, 0.5, "t:1")
    assert "reranker aaaa" in best.origin.by
    assert new["q", "far"].origin.by == "someone"
    assert found.became["false negatives: exclude"] == 1
    assert found.became["unsure negatives: exclude"] == 2


def test_training_excludes_what_is_neither_but_for_its_score_and_the_check_finds_no_fault(
    tmp_path: Path,
) -> None:
    old = school(tmp_path / "data", TEXTS, JUDGED)
    taught(tmp_path, old)
    new = Dataset.open(tmp_path / "new")
    table = new.table("judgments", ["document_id", "grade", "split", "score"]).to_pydict()
    assert table["grade"].count(None) == 2  # other tools call NaN greater than 0
    known = settle(
        np.zeros(4, int), np.arange(4), np.array(table["grade"], dtype=float),
        np.array([split == "train" for split in table["split"]]), rows=4,
        scores=np.array(table["score"], dtype=float),
    )  # fmt: skip
    scores = dict(zip(table["document_id"], known.score.tolist(), strict=True))
    assert (scores["near"], scores["unsure"]) == (2, 0)
    grades = dict(zip(table["document_id"], known.grade.tolist(), strict=True))
    assert (grades["answer"], grades["far"]) == (1, 0)
    assert math.isnan(grades["near"])
    assert math.isnan(grades["unsure"])
    report = check_dataset(new, count_tokens=None, max_tokens=None, cohorts=None)
    assert not [one for one in report.findings if one.severity == "error" and one.count]


def test_what_people_judged_keeps_its_grade_unless_asked(tmp_path: Path) -> None:
    judged: list[Judged] = [JUDGED[0], ("q", "best", 0, "train", "human")]
    old = school(tmp_path / "data", TEXTS | {"best": "a 0"}, judged)
    found = taught(tmp_path, old)
    kept = judgments(tmp_path / "new")["q", "best"]
    assert (kept.grade, kept.split, kept.score, kept.origin.kind) == (0, "train", 3, "human")
    assert not {what for what in found.became if "negatives" in what}
    teach(NumberReranker(), old, tmp_path / "asked", Teaching(regraded=("human",)))
    assert side(judgments(tmp_path / "asked")["q", "best"]) == "neither"


@pytest.mark.parametrize(
    ("false_negatives", "unsure", "best", "middle"),
    [
        ("exclude", "negative", ("neither", "taught"), ("wrong", "mined")),
        ("answer", "exclude", ("answer", "taught"), ("neither", "taught")),
        ("keep", "keep", ("wrong", "mined"), ("wrong", "mined")),
    ],
)
def test_the_settings_say_what_becomes_of_them(
    false_negatives: str, unsure: str, best: tuple[str, str], middle: tuple[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    judged: list[Judged] = [JUDGED[0], ("q", "best", 0, "train", "mined"), JUDGED[2]]
    old = school(tmp_path / "data", TEXTS | {"best": "a 0"}, judged)
    taught(tmp_path, old, false_negatives=false_negatives, unsure=unsure, answer_grade=0.7)
    new = judgments(tmp_path / "new")
    assert (side(new["q", "best"]), new["q", "best"].origin.kind) == best
    assert (side(new["q", "unsure"]), new["q", "unsure"].origin.kind) == middle
    if false_negatives == "answer":
        assert new["q", "best"].grade == 0.7
    if false_negatives == "keep":
        assert new["q", "best"].grade == 0


def test_a_negative_that_is_also_an_answer_is_left_to_people(tmp_path: Path) -> None:
    judged: list[Judged] = [JUDGED[0], ("q", "answer", 0, "train", "mined")]
    old = school(tmp_path / "data", TEXTS, judged)
    taught(tmp_path, old)
    both = list(Dataset.open(tmp_path / "new").judgments())
    assert sorted((one.grade, one.split, one.score) for one in both) == [
        (0, "train", 3), (1, "train", 3)
    ]  # fmt: skip


def test_an_answer_that_is_measured_is_not_even_scored(tmp_path: Path) -> None:
    queries = {"q": "ask 0", "exam": "Ask  0"}  # the same question
    judged: list[Judged] = [*JUDGED, ("exam", "secret", 1, "test", "human"),
                            ("q", "twin", 0, "train", "mined")]  # fmt: skip
    texts = TEXTS | {"secret": "hidden 0", "twin": "Hidden  0"}
    reranker = NumberReranker()
    old = school(tmp_path / "data", texts, judged, queries=queries)
    found = teach(reranker, old, tmp_path / "new")
    assert not {pair for pair in reranker.scored if "idden" in pair[1]}
    assert found.left == 1
    untouched = judgments(tmp_path / "new")["q", "twin"]
    assert (untouched.grade, untouched.score, untouched.split) == (0, None, "train")


def test_the_nearest_documents_become_candidates_and_none_of_dev_or_test(tmp_path: Path) -> None:
    documents = {
        "answer": "an answer 0", "same": "a 0.5", "doubt": "b 2.5", "wrong": "c 6", "copy": "C  6",
        "exam": "d 4", "kin": "e 4.5", "twin": "D 4", "out": "f 90",
        "other": "g 1", "othertwin": "G 1",
    }  # fmt: skip
    queries = {"q": "ask 0", "exam": "else 4", "again": "ASK 0", "idle": "ask 5", "both": "b 2"}
    judged: list[Judged] = [
        ("q", "answer", 1, "train", "human"),
        ("exam", "exam", 1, "test", "human"),
        ("again", "other", 1, "train", "human"),  # the same question has another answer
        ("q", "out", 0, "train", "human"),
        ("both", "answer", 1, "train", "human"),
        ("both", "out", 0, "dev", "human"),
    ]
    old = school(tmp_path / "data", documents, judged, queries=queries,
                 groups={"exam": "g", "kin": "g"})  # fmt: skip
    run = Run(encoder=Line(), calibration=as_it_is())
    found = teach(NumberReranker(), old, tmp_path / "new", Teaching(depth=8), run)
    new = judgments(tmp_path / "new")
    assert {pair: one.score for pair, one in new.items() if pair[0] == "q"} == {
        ("q", "answer"): 3.0, ("q", "same"): 2.5, ("q", "doubt"): 0.5, ("q", "wrong"): -3.0,
        ("q", "out"): -87.0,
    }  # fmt: skip
    assert not {pair for pair in new if pair[0] in ("exam", "idle")} - {("exam", "exam")}
    assert {pair[1] for pair in new if pair[0] == "both"} == {"answer", "out"}
    wrong = new["q", "wrong"]
    assert (wrong.grade, wrong.split, wrong.origin.kind) == (0, "train", "taught")
    assert wrong.origin.facts["rank"] == 6
    assert side(new["q", "doubt"]) == "neither"
    assert found.documents_kept_back == 3
    assert found.became["new negatives"] == 3  # of the two that ask the same


def test_a_document_that_a_teacher_takes_for_an_answer_is_no_new_negative(tmp_path: Path) -> None:
    documents = {"answer": "an answer 1", "better": "a 0"}
    old = school(tmp_path / "data", documents, [("q", "answer", 1, "train", "human")])
    for what, want in (("exclude", "neither"), ("answer", "answer"), ("keep", None)):
        teach(NumberReranker(), old, tmp_path / what, Teaching(false_negatives=what),  # type: ignore[arg-type]
              Run(encoder=Line()))  # fmt: skip
        found = judgments(tmp_path / what).get(("q", "better"))
        assert (found and side(found)) == want


def test_a_second_run_scores_nothing_and_writes_the_same(tmp_path: Path) -> None:
    old = school(tmp_path / "data", TEXTS, JUDGED)
    first, again = NumberReranker(), NumberReranker()
    teach(first, old, tmp_path / "new")
    digest = Dataset.open(tmp_path / "new").digest
    found = teach(again, old, tmp_path / "new", run=Run(replace=True))
    assert (len(first.scored), len(again.scored), found.new_scores) == (4, 0, 0)
    assert Dataset.open(tmp_path / "new").digest == digest
    assert [path.name for path in cache_of(tmp_path / "new").iterdir()] == [
        "scores-aaaaaaaaaaaaaaaa.bin"
    ]


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_blocks_change_nothing(size: int, tmp_path: Path) -> None:
    documents = {f"d{i}": f"text {i}" for i in range(12)}
    queries = {f"q{i}": f"ask {i}" for i in range(8)}
    judged: list[Judged] = []
    for i in range(8):
        judged.append((f"q{i}", f"d{i}", 1, "train", "human"))
        judged += [(f"q{i}", f"d{i + k}", 0, "train", "mined") for k in range(1, 4)]
    old = school(tmp_path / "data", documents, judged, queries=queries)
    for name, block in (("whole", 2_048), ("parts", size)):
        run = Run(cache=tmp_path / f"{name}.cache", encoder=Line())
        teach(NumberReranker(), old, tmp_path / name, Teaching(pairs_per_block=block, depth=6), run)
    assert Dataset.open(tmp_path / "whole").digest == Dataset.open(tmp_path / "parts").digest


def test_two_teachers_are_fused_and_both_are_named(tmp_path: Path) -> None:
    class Strict(NumberReranker):
        def score_pairs(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
            return super().score_pairs(*args, **options) - 2  # type: ignore[arg-type]

    old = school(tmp_path / "data", TEXTS, JUDGED)
    teachers = [NumberReranker(), Strict("b" * 16)]
    teach(teachers, old, tmp_path / "new", Teaching(weights=(3, 1)))
    answer = judgments(tmp_path / "new")["q", "answer"]
    assert answer.score == pytest.approx(3 * 0.75 + 1 * 0.25)
    assert answer.origin.facts["teacher"] == f"{'a' * 16}+{'b' * 16}"


def test_stopping_keeps_what_was_scored(tmp_path: Path) -> None:
    queries = {f"q{i}": f"ask {i}" for i in range(6)}
    judged: list[Judged] = [(name, "far", 1, "train", "click") for name in queries]
    old = school(tmp_path / "data", TEXTS, judged, queries=queries)
    reranker = NumberReranker()
    run = Run(stop=lambda: len(reranker.scored) >= 4)
    with pytest.raises(Stopped, match="same command goes on"):
        teach(reranker, old, tmp_path / "new", Teaching(pairs_per_block=2), run)
    assert len(reranker.scored) == 4
    teach(reranker, old, tmp_path / "new", Teaching(pairs_per_block=2))
    assert len(reranker.scored) == len(set(reranker.scored)) == 6


def test_what_cannot_be_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    old = school(tmp_path / "data", TEXTS, JUDGED)
    with pytest.raises(BadFile, match="stays as it is"):
        teach(NumberReranker(), old, tmp_path / "x" / ".." / "data", run=Run(replace=True))
    (tmp_path / "new").mkdir()
    with pytest.raises(BadFile, match="exists already"):
        teach(NumberReranker(), old, tmp_path / "new")
    exam = school(tmp_path / "exam", TEXTS, [("q", "answer", 1, "test", "human")])
    with pytest.raises(BadRecord, match="expected judgments of the train split"):
        teach(NumberReranker(), exam, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_facts_of_the_manifest_are_json_and_the_space_is_named(tmp_path: Path) -> None:
    old = school(tmp_path / "data", TEXTS, JUDGED)
    teach(NumberReranker(), old, tmp_path / "new", run=Run(encoder=Line()))
    manifest = json.loads((tmp_path / "new" / "manifest.json").read_text())
    space = manifest["parents"][0]["taught_with"]["space"]
    assert space == Line.space.fingerprint != LETTERS.fingerprint
