"""A BEIR folder is read whole, with or without headers, plain or .gz."""

from pathlib import Path

import pytest
from making import write_lines

from nearfar.data.beir import BeirReader
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.records import Document, Judgment, Query

HEADER = "query-id\tcorpus-id\tscore"


def beir(folder: Path, *, packed: str = "") -> Path:
    write_lines(
        folder / f"corpus.jsonl{packed}",
        {"_id": "d1", "title": "Cats", "text": " purr ", "page": "pets", "tags": ["a"]},
        {"_id": "d2", "title": "", "text": "bark", "metadata": {"page": "pets", "year": 1999}},
    )
    write_lines(
        folder / f"queries.jsonl{packed}",
        {"_id": "q1", "text": "who purrs?", "page": "pets"},
        {"_id": "q2", "text": "nobody asked"},
    )
    write_lines(folder / "qrels" / f"train.tsv{packed}", HEADER, "q1\td1\t2", "q1\td2\t0")
    write_lines(folder / "qrels" / f"test.tsv{packed}", "q1\td1\t1")
    return folder


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_folder_becomes_records_with_their_lines(tmp_path: Path, packed: str) -> None:
    reader = BeirReader(beir(tmp_path, packed=packed))
    first, second, asked, unasked, *judged = reader.records()
    assert isinstance(first, Document)
    assert first.content == "Cats  purr"  # title, space, text: as BEIR joins them
    assert first.source == f"corpus.jsonl{packed}:1"
    assert dict(first.fields) == {"title": "Cats", "page": "pets"}
    assert isinstance(second, Document)
    assert second.content == "bark"
    assert dict(second.fields) == {"page": "pets", "year": 1999}
    assert isinstance(asked, Query)
    assert isinstance(unasked, Query)
    assert [(j.grade, j.split, j.origin.source) for j in judged if isinstance(j, Judgment)] == [
        (2.0, "train", f"qrels/train.tsv{packed}:2"),
        (0.0, "train", f"qrels/train.tsv{packed}:3"),
        (1.0, "test", f"qrels/test.tsv{packed}:1"),
    ]
    assert list(reader.notes.left_out.values()) == [1]  # the list of tags


def test_a_key_of_the_documents_can_be_the_group(tmp_path: Path) -> None:
    records = BeirReader(beir(tmp_path), group_field="page").records()
    groups = [r.group for r in records if not isinstance(r, Judgment)]
    assert groups == ["pets", "pets", "pets", ""]  # found in the metadata too


def test_an_unknown_group_is_answered_with_the_nearest_key(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="Did you mean 'page'"):
        list(BeirReader(beir(tmp_path), group_field="pages").records())


def test_the_division_can_be_left_to_the_hash(tmp_path: Path) -> None:
    records = BeirReader(beir(tmp_path), keep_splits=False).records()
    assert {r.split for r in records if isinstance(r, Judgment)} == {None}


def test_a_field_that_bears_the_name_of_a_column_is_renamed_aloud(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    write_lines(folder / "corpus.jsonl", {"_id": "d1", "text": "t", "source": "web"})
    reader = BeirReader(folder)
    first = next(reader.records())
    assert isinstance(first, Document)
    assert dict(first.fields) == {"field_source": "web"}
    assert "'field_source'" in reader.notes.sentences[0]


BAD = {
    "no id": ("corpus.jsonl", {"text": "t"}, r"corpus\.jsonl:1: expected an '_id'"),
    "no text": ("queries.jsonl", {"_id": "q", "text": 5}, r"queries\.jsonl:1: expected text"),
    "two columns": ("qrels/train.tsv", "q1\td1", r"qrels/train\.tsv:1: expected three columns"),
    "spaces": ("qrels/train.tsv", "q1 d1 1", r"qrels/train\.tsv:1: expected three columns"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named(tmp_path: Path, case: str) -> None:
    name, line, message = BAD[case]
    folder = beir(tmp_path)
    write_lines(folder / name, line)
    with pytest.raises(BadRecord, match=message):
        list(BeirReader(folder).records())


def test_a_score_that_is_no_number_is_named_below_the_header(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    write_lines(folder / "qrels/train.tsv", HEADER, "q1\td1\tyes")
    with pytest.raises(BadRecord, match=r"qrels/train\.tsv:2: expected a number .* found 'yes'"):
        list(BeirReader(folder).records())


@pytest.mark.parametrize("part", ["corpus.jsonl", "queries.jsonl", "qrels/train.tsv"])
def test_a_missing_part_is_named_before_anything_is_read(tmp_path: Path, part: str) -> None:
    folder = beir(tmp_path)
    (folder / part).unlink()
    (folder / "qrels/test.tsv").unlink()
    with pytest.raises(BadFile, match=r"expected .*(corpus|queries|train)"):
        next(BeirReader(folder).records())


def test_a_part_that_is_there_twice_is_not_chosen_from(tmp_path: Path) -> None:
    folder = beir(beir(tmp_path), packed=".gz")
    with pytest.raises(BadFile, match=r"both corpus\.jsonl and corpus\.jsonl\.gz"):
        next(BeirReader(folder).records())


def test_judgments_under_another_name_are_left_out_aloud(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    write_lines(folder / "qrels/all.tsv", HEADER)
    reader = BeirReader(folder)
    list(reader.records())
    assert "qrels/all.tsv is not read" in reader.notes.sentences[0]


COUNTS = {
    "fairytaleqa": (4094, 10580, 11739),
    "tldr": (6820, 10365, 10365),
    "medquad": (15809, 14345, 16359),
    "ir-classic/med": (1033, 30, 696),
    "tiny/retrieval": (400, 627, 627),
}


@pytest.mark.parametrize("name", COUNTS)
def test_real_folders_are_read_whole(real_data: Path, name: str) -> None:
    kinds = [type(record) for record in BeirReader(real_data / name).records()]
    assert tuple(kinds.count(kind) for kind in (Document, Query, Judgment)) == COUNTS[name]
