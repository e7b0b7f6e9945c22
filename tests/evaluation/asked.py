"""A dataset in a few words: texts by id, and what is judged of them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query, Split

Judged = tuple[str, str, float, Split]


def asked(
    folder: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    judged: Sequence[Judged],
    groups: Mapping[str, str] | None = None,
) -> Dataset:
    """Write it; `groups` are those of queries and documents, by id.

    A grade that is no number is that of a document which a teacher scored and called neither.
    """
    group = groups or {}
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for id_, content in documents.items():
            writer.add(Document(id=id_, content=content, group=group.get(id_, ""), source="x"))
        for id_, content in queries.items():
            writer.add(Query(id=id_, content=content, group=group.get(id_, ""), source="x"))
        for query, document, grade, split in judged:
            score = 0.5 if math.isnan(grade) else None
            writer.add(Judgment(query_id=query, document_id=document, grade=grade, split=split,
                                score=score, origin=Origin(kind="human", source="x")))  # fmt: skip
    return Dataset.open(folder)
