"""A dataset that was written as BEIR is read back as it was."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfar.data.beir import BeirReader
from nearfar.data.beir_out import write_beir
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadRecord
from nearfar.records import Document, Judgment, Origin, Query, Split

JUDGED: list[tuple[str, str, float, Split]] = [
    ("q 1", "d1", 2, "train"), ("q 1", "d2", 0, "train"), ("q2", "d3", 0.3, "test"),
    ("q2", "d1", math.nan, "test"), ("q2", "ü", 1, "aside"),
]  # fmt: skip


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    texts = {"d1": ("Cats  purr\nand sleep", {"title": "Cats", "year": 1999}),
             "d2": ("Catsup", {"title": "Cats", "good": True}), "d3": ("Dogs", {"title": "Dogs"}),
             "ü": ("ünderstood\u2028here", {})}  # fmt: skip
    with write_dataset(tmp_path / "data", licence="CC0-1.0", parents=[]) as writer:
        for id_, (content, fields) in texts.items():
            writer.add(Document(id=id_, content=content, fields=fields, source="x"))
        writer.add(Query(id="q 1", content="who purrs?", fields={"lang": "en"}, source="x"))
        writer.add(Query(id="q2", content="und?", group="session", source="x"))
        for query, document, grade, split in JUDGED:
            score = 0.5 if math.isnan(grade) else None
            writer.add(Judgment(query_id=query, document_id=document, grade=grade, split=split,
                                score=score, origin=Origin(kind="human", source="x")))  # fmt: skip
    return Dataset.open(tmp_path / "data")


def texts(records: Iterator[Document | Query]) -> dict[str, tuple[str, str, dict[str, object]]]:
    return {one.id: (one.content, one.group, dict(one.fields)) for one in records}


def test_what_is_read_is_what_was_written(dataset: Dataset, tmp_path: Path) -> None:
    found = write_beir(dataset, tmp_path / "beir")
    read = list(BeirReader(tmp_path / "beir", group_field="").records())
    documents = (one for one in read if isinstance(one, Document))
    assert texts(documents) == texts(dataset.documents())
    queries = texts(one for one in read if isinstance(one, Query))
    assert queries["q 1"] == ("who purrs?", "", {"lang": "en"})
    assert queries["q2"] == ("und?", "", {"field_group": "session"})
    judged = [(j.query_id, j.document_id, j.grade, j.split)
              for j in read if isinstance(j, Judgment)]  # fmt: skip
    assert sorted(judged) == [
        ("q 1", "d1", 2, "train"), ("q 1", "d2", 0, "train"), ("q2", "d3", 1, "test")]  # fmt: skip
    assert (found.documents, found.queries) == (4, 2)
    assert found.judgments == {"train": 2, "dev": 0, "test": 1}
    assert found.left_out == {"called neither": 1, "set aside": 1}


def test_titles_are_told_from_what_only_begins_so(dataset: Dataset, tmp_path: Path) -> None:
    write_beir(dataset, tmp_path / "beir")
    lines = (tmp_path / "beir/corpus.jsonl").read_text(encoding="utf-8").split("\n")
    rows = {row["_id"]: row for row in map(json.loads, filter(None, lines))}
    assert (rows["d1"]["title"], rows["d1"]["text"]) == ("Cats", " purr\nand sleep")
    assert (rows["d2"]["title"], rows["d2"]["text"]) == ("", "Catsup")
    assert (rows["d3"]["title"], rows["d3"]["text"]) == ("Dogs", "")
    assert rows["d1"]["metadata"] == {"year": 1999}
    qrels = (tmp_path / "beir/qrels/train.tsv").read_text().splitlines()
    assert qrels[0] == "query-id\tcorpus-id\tscore"


def test_a_folder_that_is_there_stays_unless_it_is_to_be_replaced(
    dataset: Dataset, tmp_path: Path
) -> None:
    write_beir(dataset, tmp_path / "beir")
    with pytest.raises(BadFile, match="exists already"):
        write_beir(dataset, tmp_path / "beir")
    write_beir(dataset, tmp_path / "beir", replace=True)


def test_an_id_that_would_divide_a_line_is_refused(tmp_path: Path) -> None:
    with write_dataset(tmp_path / "data", licence="CC0-1.0", parents=[]) as writer:
        writer.add(Document(id="a\tb", content="x", source="x"))
        writer.add(Query(id="q", content="y", source="x"))
        writer.add(Judgment(query_id="q", document_id="a\tb", grade=1, split="test",
                            origin=Origin(kind="human", source="x")))  # fmt: skip
    with pytest.raises(BadRecord, match="without tabs"):
        write_beir(Dataset.open(tmp_path / "data"), tmp_path / "beir")
    assert not (tmp_path / "beir").exists()
