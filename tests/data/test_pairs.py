"""Pairs and triplets are read whatever their columns are called."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from making import write_lines

from nearfar.data.columns import Columns
from nearfar.data.notes import Record
from nearfar.data.pairs import PairsReader
from nearfar.errors import BadFile, BadRecord
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Query

ROWS = [
    {"question": "who purrs?", "answer": "cats", "lang": "en"},
    {"question": "who barks?", "answer": "dogs", "lang": "en"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format that the suffix names."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if path.suffix == ".arrow":
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return path
    if ".jsonl" in path.suffixes:
        return write_lines(path, *rows)
    divider = "\t" if ".tsv" in path.suffixes else ","
    header = divider.join(rows[0])
    return write_lines(path, header, *(divider.join(map(str, row.values())) for row in rows))


def read(path: Path, **columns: Any) -> list[Record]:
    return list(PairsReader(path, wanted=Columns(**columns)).records())


def judgments(records: list[Record]) -> list[tuple[str, str, float]]:
    """Return judgments with texts in the place of ids."""
    texts = {r.id: r.content for r in records if not isinstance(r, Judgment)}
    return [
        (texts[r.query_id], texts[r.document_id], r.grade)
        for r in records
        if isinstance(r, Judgment)
    ]


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.arrow"]
)
def test_every_format_says_the_same(tmp_path: Path, name: str) -> None:
    records = read(write(tmp_path / name, ROWS))
    assert judgments(records) == [("who purrs?", "cats", 1.0), ("who barks?", "dogs", 1.0)]
    first = records[0]
    assert isinstance(first, Query)
    assert first.id == content_id("who purrs?")
    assert dict(first.fields) == {"lang": "en"}
    line = {"jsonl": "1", "parquet": "row 1", "arrow": "row 1"}.get(name.split(".")[1], "2")
    assert first.source == f"{name}:{line}"


def test_the_guess_is_a_sentence_to_say_aloud(tmp_path: Path) -> None:
    rows = [{"anchor": "a", "positive": "b", "negative_2": "d", "negative_1": "c", "score": 1}]
    reader = PairsReader(write(tmp_path / "a.jsonl", rows))
    list(reader.records())
    assert reader.notes.sentences == [
        "Guessed from the names of the columns: anchor is the query, positive is the document, "
        "negative_2 and negative_1 is the negative, score is the grade."
    ]


def test_nothing_is_said_of_what_was_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"x": "a", "y": "b"}])
    reader = PairsReader(path, wanted=Columns(query="x", document="y"))
    list(reader.records())
    assert reader.notes.sentences == []


@pytest.mark.parametrize(
    ("names", "query", "document"),
    [
        (["sentence1", "sentence2", "label"], "sentence1", "sentence2"),
        (["title", "text"], "title", "text"),
        (["title", "question", "context"], "question", "context"),
        (["Query", "Passage"], "Query", "Passage"),
        (["query", "pos", "neg"], "query", "pos"),
        (["text", "title"], "title", "text"),
    ],
)
def test_the_usual_names_are_known(
    tmp_path: Path, names: list[str], query: str, document: str
) -> None:
    row = {name: "1" if name == "label" else f"text of {name}" for name in names}
    triple = judgments(read(write(tmp_path / "a.jsonl", [row])))[0]
    assert triple == (f"text of {query}", f"text of {document}", 1.0)


def test_negatives_are_judged_and_no_answer(tmp_path: Path) -> None:
    rows = [{"query": "q", "positive": "p", "negative": ["n", "m"], "negative_2": ""}]
    reader = PairsReader(write(tmp_path / "a.jsonl", rows))
    assert judgments(list(reader.records())) == [("q", "p", 1.0), ("q", "n", 0.0), ("q", "m", 0.0)]
    assert reader.notes.left_out == {"negatives without a text": 1}


def test_a_query_may_have_several_answers_with_their_ids(tmp_path: Path) -> None:
    rows = [{"query": "q", "positive": ["p", "r"], "document_id": ["1", "2"], "query_id": 7}]
    records = read(write(tmp_path / "a.jsonl", rows))
    ids = [(r.query_id, r.document_id) for r in records if isinstance(r, Judgment)]
    assert ids == [("7", "1"), ("7", "2")]


def test_a_negative_that_answers_a_later_query_keeps_the_group_of_its_own_row(
    tmp_path: Path,
) -> None:
    rows = [
        {"query": "q", "positive": "p", "negative": "shared", "group": "one"},
        {"query": "r", "positive": "shared", "negative": "n", "group": "two"},
    ]
    records = read(write(tmp_path / "a.jsonl", rows))
    first = next(r for r in records if isinstance(r, Document) and r.content == "shared")
    assert first.group == "two"


def test_a_split_column_is_kept_or_left_to_the_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"query": "q", "answer": "a", "split": "validation"}])
    kept = [r.split for r in read(path) if isinstance(r, Judgment)]
    anew = PairsReader(path, keep_splits=False).records()
    assert kept == ["dev"]
    assert [r.split for r in anew if isinstance(r, Judgment)] == [None]


def test_files_called_train_and_test_are_one_source_in_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.csv.gz", ROWS)
    write(tmp_path / "test.csv.gz", ROWS[:1])
    (tmp_path / "README.md").write_text("about")
    records = [r for r in read(tmp_path) if isinstance(r, Judgment)]
    assert [(r.split, r.origin.source) for r in records] == [
        ("test", "test.csv.gz:2"),
        ("train", "train.csv.gz:2"),
        ("train", "train.csv.gz:3"),
    ]


def test_only_the_fields_that_were_named_are_kept(tmp_path: Path) -> None:
    rows = [{"query": "q", "answer": "a", "lang": "en", "noise": 1}]
    records = read(write(tmp_path / "a.jsonl", rows), fields=("lang",))
    assert {tuple(r.fields) for r in records if not isinstance(r, Judgment)} == {("lang",)}


def test_a_field_that_only_a_late_line_has_is_kept(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"query": f"q{i}", "answer": "a"} for i in range(150)]
    rows[-1]["late"] = True
    records = read(write(tmp_path / "a.jsonl", rows))
    assert any("late" in r.fields for r in records if not isinstance(r, Judgment))


BAD_GRADES = [float("nan"), float("inf"), -1, 10**400, "good", "", None, [1]]


@pytest.mark.parametrize("grade", BAD_GRADES, ids=str)
def test_a_grade_that_is_no_number_of_0_or_more_is_refused(tmp_path: Path, grade: Any) -> None:
    good = {"query": "q", "answer": "a", "grade": 1}
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(good)}\n{json.dumps({**good, 'grade': grade})}\n")
    with pytest.raises(BadRecord, match=r"a\.jsonl:2: expected a number of 0 or more .* 'grade'"):
        read(path)


@pytest.mark.parametrize("value", ["", "  ", None, 5, []], ids=str)
@pytest.mark.parametrize("column", ["query", "answer"])
def test_a_missing_text_is_named_with_its_line(tmp_path: Path, column: str, value: Any) -> None:
    good = {"query": "q", "answer": "a"}
    path = write(tmp_path / "a.jsonl", [good, {**good, column: value}])
    with pytest.raises(BadRecord, match=rf"a\.jsonl:2: .*'{column}'"):
        read(path)


def test_a_column_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"a\.csv:2: there is no column 'qestion'.*'question'\?"):
        read(write(tmp_path / "a.csv", ROWS), query="qestion")


def test_columns_without_a_usual_name_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"frage": "q", "antwort": "a"}])
    with pytest.raises(
        BadRecord, match=r"a\.csv:2: no column looks like the query.*frage, antwort"
    ):
        read(path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path, name: str) -> None:
    header, row = "query,answer,answer,,", "q,a,b,,"
    divider = "," if name == "a.csv" else "\t"
    path = write_lines(tmp_path / name, *(line.replace(",", divider) for line in (header, row)))
    with pytest.raises(BadRecord, match=rf"{name}:1: .*'answer' 2 times. Rename"):
        read(path)
    path = write_lines(
        tmp_path / name, *(line.replace(",", divider) for line in ("query,answer,,", "q,a,,"))
    )
    assert judgments(read(path)) == [("q", "a", 1.0)]  # columns without a name hold nothing


def test_times_finer_than_python_knows_are_rounded_and_far_ones_refused(tmp_path: Path) -> None:
    texts = {"query": ["q", "r"], "answer": ["a", "b"]}
    fine = pa.array([1_706_659_200_000_000_001, None], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({**texts, "at": fine}), tmp_path / "a.parquet")
    queries = [r for r in read(tmp_path / "a.parquet") if isinstance(r, Query)]
    assert [dict(r.fields) for r in queries] == [{"at": "2024-01-31T00:00:00+00:00"}, {}]
    far = pa.array([None, 10**12], pa.timestamp("s"))
    pq.write_table(pa.table({**texts, "at": far}), tmp_path / "b.parquet")
    with pytest.raises(BadRecord, match=r"b\.parquet:row 2: expected dates of the years 1 to 9999"):
        read(tmp_path / "b.parquet")


def test_a_row_with_too_many_columns_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", "query,answer", "q,a", "q,a,b")
    with pytest.raises(BadRecord, match=r"a\.csv:3: expected 2 columns .* found 3"):
        read(path)


def test_an_unknown_split_is_refused_with_the_choices(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"query": "q", "answer": "a", "split": "holdout"}])
    with pytest.raises(BadRecord, match=r"a\.jsonl:1: expected a split among train.*'holdout'"):
        read(path)


def test_ids_and_texts_must_be_as_many(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"query": "q", "answer": ["a", "b"], "document_id": "1"}])
    with pytest.raises(BadRecord, match=r"a\.jsonl:1: expected 2 id\(s\) in 'document_id'"):
        read(path)


def test_a_header_alone_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"a\.csv:1: expected at least one row"):
        read(write_lines(tmp_path / "a.csv", "query,answer"))


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_damaged_columns_are_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadFile, match=rf"{name}: expected"):
        read(path)


def test_an_unknown_kind_of_file_is_answered_with_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(BadFile, match=r"a\.xlsx: not a kind of file.*\.jsonl.*\.parquet"):
        read(tmp_path / "a.xlsx")
