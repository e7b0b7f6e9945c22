"""A poisoned file is refused with the line, or its bad rows are set aside and nothing is lost."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from making import write_lines

from nearfar.data.formulas import csv_safe
from nearfar.data.importing import ImportOptions, ImportSummary, import_source
from nearfar.errors import BadFile, BadRecord, NearfarError

REJECT = ImportOptions(on_error="reject")


def good(number: int) -> bytes:
    row = {"query": f"q{number}?", "answer": f"a{number}", "document_id": f"d{number}", "grade": 1}
    return json.dumps(row).encode()


def changed(number: int, **more: Any) -> bytes:
    return json.dumps(json.loads(good(number)) | more).encode()


POISONS = {
    "not JSON": lambda i: good(i)[:-3],
    "not UTF-8": lambda i: good(i).replace(b"a", b"\xe9"),
    "NUL byte": lambda i: good(i).replace(b"?", b"\0"),
    "not Unicode": lambda i: good(i).replace(b"?", b"\\ud83d"),
    "empty text": lambda i: changed(i, answer=" "),
    "not a text": lambda i: changed(i, answer={"a": 1}),
    "bad grade": lambda i: changed(i, grade="good"),
    "bad id": lambda i: changed(i, document_id=""),
    "id of another text": lambda i: changed(i, document_id="d0"),
    "unknown split": lambda i: changed(i, split="holdout"),
    "line too long": lambda i: changed(i, answer="x" * (17 << 20)),
}


def rejects(summary: ImportSummary) -> list[dict[str, Any]]:
    path = summary.dataset.folder / "rejects.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def balanced(summary: ImportSummary, read: int) -> bool:
    """Tell whether every row that was read is in exactly one count."""
    tally = summary.tally
    parts = (tally.accepted, tally.merged, tally.rejected.total(), tally.left_out.total())
    kept = summary.dataset.manifest["source_rows"]
    return tally.read == read == sum(parts) and kept == tally.facts()


@pytest.mark.parametrize("reason", POISONS)
def test_a_poisoned_line_is_refused_or_set_aside(tmp_path: Path, reason: str) -> None:
    lines = [good(0), good(1), POISONS[reason](2), good(3)]
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(lines))
    with pytest.raises(NearfarError, match=r"a\.jsonl:3: "):
        import_source(source, tmp_path / "set", ImportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    found = import_source(source, tmp_path / "set", REJECT)
    (row,) = rejects(found)
    assert (row["source"], row["line"], row["reason"]) == ("a.jsonl", 3, reason)
    assert 0 < len(row["raw"]) <= 2_000
    assert found.dataset.manifest["rows"]["judgments"] == 3
    assert balanced(found, 4)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_in_a_file_with_many_poisons(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    few = {name: make for name, make in POISONS.items() if name != "line too long"}
    expected: dict[str, int] = {}
    lines = [good(0)]
    for number in range(1, 300):
        if dice.random() < 0.3:
            name = dice.choice(list(few))
            expected[name] = expected.get(name, 0) + 1
            lines.append(few[name](number))
        else:  # some of them repeat the first
            lines.append(good(dice.choice([0, number])))
    source = tmp_path / "a.jsonl.gz"
    source.write_bytes(gzip.compress(b"\n".join(lines)))
    found = import_source(source, tmp_path / "set", REJECT)
    assert dict(found.tally.rejected) == expected
    assert balanced(found, 300)
    assert len(rejects(found)) == sum(expected.values())
    again = import_source(source, tmp_path / "set", REJECT)
    assert again.unchanged


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_in_a_poisoned_beir_folder(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    bad = ['{"_id": ', '{"text": "no id"}', '{"_id": "x", "text": 5}', '{"_id": "0", "text": "t"}']
    corpus = [json.dumps({"_id": str(i), "text": f"text {i}"}) for i in range(50)]
    corpus += dice.choices(bad, k=10)
    queries = [json.dumps({"_id": str(i), "text": f"what is {i}?"}) for i in range(20)]
    qrels = [f"{dice.randrange(25)}\t{dice.randrange(60)}\t{dice.choice(['1', 'x', '-1'])}"
             for _ in range(80)] + ["two\tcolumns"]  # fmt: skip
    folder = tmp_path / "beir"
    write_lines(folder / "corpus.jsonl", *corpus)
    write_lines(folder / "queries.jsonl", *queries)
    write_lines(folder / "qrels/test.tsv", "query-id\tcorpus-id\tscore", *qrels)
    with pytest.raises(BadRecord, match=r"corpus\.jsonl:5\d|corpus\.jsonl:60"):
        import_source(folder, tmp_path / "set", ImportOptions())
    found = import_source(folder, tmp_path / "set", REJECT)
    unknown = found.tally.rejected["unknown id"]
    assert unknown > 0
    assert found.tally.rejected["wrong number of columns"] == 1
    assert balanced(found, len(corpus) + len(queries) + len(qrels))
    ids = {document.id for document in found.dataset.documents()}
    assert {judgment.document_id for judgment in found.dataset.judgments()} <= ids


def test_a_table_finds_its_feet_after_a_bad_row(tmp_path: Path) -> None:
    lines = ["query,answer", "q1,a1", '"never closed,a2', "q3,a3", "q4,a4,more",
             '"q5\nover two lines",a5', 'q6,"a6"x', "q7,a7"]  # fmt: skip
    found = import_source(write_lines(tmp_path / "a.csv", *lines), tmp_path / "set", REJECT)
    texts = sorted(query.content for query in found.dataset.queries())
    # The quotation that is never closed ends where the next one begins: what it swallowed is
    # in the rejects with it, and no text was made of it.
    assert {row["line"] for row in rejects(found)} <= {3, 4, 5, 6, 7, 8}
    assert {"q1", "q7"} <= set(texts)
    assert not any("never closed" in text for text in texts)
    lines[5] = "q5,a5"
    lines[6] = "q6,a6"
    found = import_source(write_lines(tmp_path / "b.csv", *lines), tmp_path / "2", REJECT)
    assert sorted(query.content for query in found.dataset.queries()) == ["q1", "q3", "q5", "q6",
                                                                         "q7"]  # fmt: skip
    assert [row["line"] for row in rejects(found)] == [3, 5]
    assert balanced(found, 7)


def test_a_row_that_lost_a_line_inside_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(b'query,answer\nq1,a1\nq2,"first\nn\xe9xt\nlast"\nq3,a3\n')
    found = import_source(source, tmp_path / "set", REJECT)
    assert [query.content for query in found.dataset.queries()] == ["q1", "q3"]
    assert [row["line"] for row in rejects(found)] == [4, 3]


def test_a_negative_of_a_rejected_row_is_no_document(tmp_path: Path) -> None:
    rows = [{"query": "q", "positive": "p", "negative": "n"},
            {"query": "", "positive": "p2", "negative": "n2"}]  # fmt: skip
    found = import_source(write_lines(tmp_path / "a.jsonl", *rows), tmp_path / "set", REJECT)
    assert {document.content for document in found.dataset.documents()} == {"p", "n"}


def test_parquet_that_is_not_utf_8_is_set_aside_by_row(tmp_path: Path) -> None:
    wrong = pa.array([b"q1", b"q\xff", b"q3"]).view(pa.string())
    pq.write_table(pa.table({"query": wrong, "answer": ["a", "b", "c"]}), tmp_path / "a.parquet")
    with pytest.raises(BadRecord, match=r"a\.parquet:row 2: a text is not UTF-8"):
        import_source(tmp_path / "a.parquet", tmp_path / "set", ImportOptions())
    found = import_source(tmp_path / "a.parquet", tmp_path / "set", REJECT)
    assert [row["line"] for row in rejects(found)] == [2]
    assert balanced(found, 3)


@pytest.mark.parametrize("wide", ["utf-16", "utf-16-be", "utf-16-le"])
def test_a_file_in_utf_16_is_refused_with_the_way_to_convert_it(tmp_path: Path, wide: str) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes((good(1) + b"\n" + good(2)).decode().encode(wide))
    with pytest.raises(NearfarError, match=r"a\.jsonl:1: .*iconv -f UTF-16 -t UTF-8"):
        import_source(source, tmp_path / "set", ImportOptions())
    with pytest.raises(NearfarError):
        import_source(source, tmp_path / "set", REJECT)


def test_gzip_that_was_cut_off_is_refused_even_then(tmp_path: Path) -> None:
    whole = gzip.compress(b"\n".join(good(i) for i in range(1_000)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:-900])
    with pytest.raises(BadFile, match=r"a\.jsonl\.gz:\d+: the gzip data is cut off"):
        import_source(tmp_path / "a.jsonl.gz", tmp_path / "set", REJECT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.gz"]


def test_a_source_without_a_good_row_is_refused_with_the_reasons(tmp_path: Path) -> None:
    rows = [good(1).decode(), changed(2, grade=-1).decode()]
    source = write_lines(tmp_path / "a.jsonl", rows[1])
    with pytest.raises(BadRecord, match="Set aside were 1 bad grade"):
        import_source(source, tmp_path / "set", REJECT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


FORMULAS = ['=HYPERLINK("http://evil.example";"prize")', "+cmd|' /C calc'!A0", "@SUM(A1:A9)"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_data_and_are_said(tmp_path: Path, formula: str) -> None:
    cell = formula.replace('"', '""')
    source = write_lines(tmp_path / "a.csv", "query,answer", f'what?,"{cell}"', "- a point,b")
    found = import_source(source, tmp_path / "set", ImportOptions())
    assert formula in {document.content for document in found.dataset.documents()}
    assert any("1 rows hold a text that a spreadsheet would run" in s and "a.csv:2" in s
               for s in found.sentences)  # fmt: skip


def test_a_cell_of_a_csv_that_we_write_is_no_formula() -> None:
    texts = [*FORMULAS, "-1", "\t=1", "plain", ""]
    assert [csv_safe(text) for text in texts] == [*("'" + text for text in texts[:-2]), "plain", ""]


_MEASURE = """
import resource, sys
from pathlib import Path
from nearfar.data.importing import ImportOptions, import_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = import_source(Path(sys.argv[1]), Path(sys.argv[2]), ImportOptions(on_error="reject"))
assert dict(found.tally.rejected) == {sys.argv[3]: 1}, found.tally
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(("name", "reason"), [("a.jsonl", "line too long"), ("a.csv", "not CSV")])
def test_50_mb_that_are_no_row_take_little_memory(tmp_path: Path, name: str, reason: str) -> None:
    source = tmp_path / name
    if name == "a.jsonl":
        source.write_bytes(good(1) + b"\n" + changed(2, answer="x" * 50_000_000) + b"\n" + good(3))
    else:  # a quotation that is never closed would swallow all lines below it
        long = b"x" * 100_000
        rows = b"".join(b"q%d,%d %s\n" % (i, i, long) for i in range(500))
        source.write_bytes(b'query,answer\nq,a\n"' + rows)
    command = [sys.executable, "-c", _MEASURE, str(source), str(tmp_path / "set"), reason]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250  # MB; an import of a few rows takes about 100


def test_a_row_that_contradicts_itself_is_set_aside_whole(tmp_path: Path) -> None:
    bad = {"query": "two?", "positive": ["a", "b"], "document_id": ["1", "1"]}
    lines = [json.dumps({**bad, "positive": ["a", "a"], "query": "one?"}), json.dumps(bad)]
    source = write_lines(tmp_path / "a.jsonl", lines[1].replace('"1"', '"2"'), lines[0])
    found = import_source(source, tmp_path / "set", REJECT)
    assert [query.content for query in found.dataset.queries()] == ["one?"]
    assert dict(found.tally.rejected) == {"id of another text": 1}
    assert balanced(found, 2)
