"""A small dataset and a queue, for the tests of planning and labelling."""

from collections.abc import Iterable
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.release.queue import Item

EVIL = "<script>alert(1)</script> \x1b[2J tea & \u202epots"


def dataset(folder: Path, *, more: Iterable[Query] = (), tested: int = 6) -> Dataset:
    """Ten documents; queries q0, q1, ... of the test split, and one query of train."""
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for n in range(10):
            content = EVIL if n == 0 else f"A text about tea number {n}."
            writer.add_document(Document(id=f"d{n}", content=content, group=f"page {n}"))
        for n in range(tested):
            fields = {"language": "de" if n == 0 else "en"}
            writer.add_query(Query(id=f"q{n}", content=f"tea {n}?", fields=fields))
            writer.add_judgment(_judged(f"q{n}", f"d{n % 10}", "test"))
        writer.add_query(Query(id="learned", content="what was learned", group="session 7"))
        writer.add_judgment(_judged("learned", "d9", "train"))
        for query in more:
            writer.add_query(query)
    return Dataset.open(folder)


def items(*pairs: tuple[str, str], **more: object) -> tuple[Item, ...]:
    """A queue of some pairs."""
    return tuple(
        Item(query_id=query, document_id=document, line=line, **more)  # type: ignore[arg-type]
        for line, (query, document) in enumerate(pairs, start=1)
    )


def _judged(query: str, document: str, split: str) -> Judgment:
    origin = Origin(kind="click", source="log:1")
    return Judgment(query_id=query, document_id=document, grade=1.0, origin=origin,
                    split=split)  # type: ignore[arg-type]  # fmt: skip
