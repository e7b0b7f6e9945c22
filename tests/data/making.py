"""Small records and files for the tests of this room."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query, Split


def document(id: str, content: str = "", group: str = "", **fields: Any) -> Document:
    return Document(
        id=id, content=content or f"text of {id}", group=group, source=f"d:{id}", fields=fields
    )


def query(id: str, content: str = "", group: str = "", **fields: Any) -> Query:
    return Query(
        id=id, content=content or f"what is {id}?", group=group, source=f"q:{id}", fields=fields
    )


def judgment(
    query_id: str, document_id: str, grade: float = 1.0, split: Split | None = None
) -> Judgment:
    origin = Origin(kind="human", source=f"j:{query_id}:{document_id}")
    return Judgment(
        query_id=query_id, document_id=document_id, grade=grade, origin=origin, split=split
    )


def dataset(folder: Path, records: Iterable[Document | Query | Judgment]) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for record in records:
            writer.add(record)
    return Dataset.open(folder)


def write_lines(path: Path, *rows: Mapping[str, Any] | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
