"""A small collection: some documents have queries, some belong to dev or test, the rest is free."""

from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.llm.settings import LlmSettings
from nearfar.records import Document, Judgment, Origin, Query, Split
from nearfar.synthesis.settings import Filters, Synthesis


def human(query: str, document: str, split: Split, grade: float = 1.0) -> Judgment:
    origin = Origin(kind="human", source=f"{query}:1")
    return Judgment(query_id=query, document_id=document, grade=grade, origin=origin, split=split)


def town(folder: Path, free: int = 6, same: int = 0) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for name in ("baker", "smith"):
            writer.add_document(Document(id=name, content=f"the {name} of the town"))
        writer.add_document(Document(id="mayor", content="the mayor", group="hall"))
        writer.add_document(Document(id="clerk", content="the clerk", group="hall"))
        writer.add_document(Document(id="twin", content="The  Mayor"))
        for place in range(free):
            content = f"house {place} stands by the river"
            writer.add_document(
                Document(id=f"h{place}", content=content, fields={"title": f"house {place}"})
            )
        for place in range(same):
            writer.add_document(Document(id=f"s{place}", content="one and the same"))
        for name in ("baker", "smith", "mayor"):
            writer.add_query(Query(id=f"q-{name}", content=f"who is the {name}?"))
        writer.add_judgment(human("q-baker", "baker", "train"))
        writer.add_judgment(human("q-smith", "smith", "train"))
        for place in range(min(free, 1)):  # judged, and no answer: nobody has asked about it
            writer.add_judgment(human("q-smith", f"h{place}", "train", grade=0.0))
        writer.add_judgment(human("q-mayor", "mayor", "test"))
    return Dataset.open(folder)


def synthesis(llm: LlmSettings, **facts: object) -> Synthesis:
    known = {"styles": ("question",), "queries": 2, "filters": Filters(copied_share=None)}
    return Synthesis(llm=llm, **(known | facts))  # type: ignore[arg-type]


def synthetic(folder: Path) -> dict[str, Judgment]:
    """The written judgments, by the text of the query."""
    dataset = Dataset.open(folder)
    texts = {query.id: query.content for query in dataset.queries()}
    return {
        texts[judgment.query_id]: judgment
        for judgment in dataset.judgments()
        if judgment.origin.kind == "synthetic"
    }
