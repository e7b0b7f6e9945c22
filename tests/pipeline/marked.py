"""Documents that answer a query if they hold one word, and else do not: easy to learn."""

import math
from pathlib import Path

from tiny import WORDS

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query, Split

GOOD, BAD, MAYBE, ELSEWHERE = WORDS[-4:]
QUERIES = 40
DEV = QUERIES // 4


def marked(folder: Path, *, unsure: bool = False) -> Dataset:
    """Write queries of one word each, and of each two documents that hold it: right and wrong.

    With `unsure`, each query of dev has two more: one that a teacher scored and called neither, and
    one that is its answer in another split.
    """
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i, own in enumerate(WORDS[:QUERIES]):
            split: Split = "train" if i % 4 else "dev"
            writer.add_query(Query(id=f"q{i}", content=own))
            judged: list[tuple[str, float, Split]] = [(GOOD, 1.0, split), (BAD, 0.0, split)]
            if unsure and split == "dev":  # first: of equals by words they come first
                judged = [(MAYBE, math.nan, split), (ELSEWHERE, 1.0, "aside"), *judged]
            for word, grade, where in judged:
                id_ = f"{own} {word}"
                writer.add_document(Document(id=id_, content=id_, group=f"g{i}"))
                writer.add_judgment(
                    Judgment(
                        query_id=f"q{i}",
                        document_id=id_,
                        grade=grade,
                        origin=Origin(kind="human", source="x"),
                        split=where,
                        score=0.5 if math.isnan(grade) else None,
                    )
                )
    return Dataset.open(folder)
