"""For which passages queries are written: train documents that hardly anyone has asked about."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from nearfar.data.dataset import Dataset
from nearfar.data.spool import short_hash
from nearfar.errors import BadRecord
from nearfar.records import Document
from nearfar.synthesis.settings import Synthesis

_CUT_BACK = 0.2  # share of a passage that may be given up to end it between two words


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A document, or a piece of it."""

    document: Document
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters of the document from `start` to before `end`."""
        return self.document.content[self.start : self.end]

    @property
    def source(self) -> str:
        """The id of the document, with the span if the passage is not all of it."""
        if self.start == 0 and self.end == len(self.document.content):
            return self.document.id
        return f"{self.document.id}[{self.start}:{self.end}]"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who is written for, and why others are not."""

    ids: AbstractSet[str]  # of documents
    kept_back: int  # documents that belong to dev or test, or share a text with one that does
    asked_already: int  # documents that have queries enough
    not_drawn: int  # documents beyond the number that was asked for


def choose_documents(dataset: Dataset, settings: Synthesis) -> Chosen:
    """Return the documents that queries are written for.

    Never one whose group holds an answer of dev or test, nor one of the same text: what is
    learned from it would be measured on it.

    Memory: the id, group and 16 bytes of the text of each document.

    Raises:
        BadRecord: none are left.
    """
    kept_back_ids, asked = _answers(dataset)
    ids: list[str] = []
    groups: list[str] = []
    texts: list[bytes] = []
    for batch in dataset.batches("documents", ["id", "content", "group"]):
        for row in batch.to_pylist():
            ids.append(row["id"])
            groups.append(row["group"] or row["id"])
            texts.append(short_hash(_normal(row["content"])))
    closed_groups = {group for id, group in zip(ids, groups, strict=True) if id in kept_back_ids}
    closed_texts = {
        text for text, group in zip(texts, groups, strict=True) if group in closed_groups
    }
    # All of a closed group have closed texts themselves.
    free = [id for id, text in zip(ids, texts, strict=True) if text not in closed_texts]
    open_ = [id for id in free if asked[id] < settings.fewer_than]
    if not open_:
        raise BadRecord(
            f"{dataset.folder}: expected documents to write queries for, found none: of "
            f"{len(ids):,}, {len(ids) - len(free):,} belong to dev or test and {len(free):,} have "
            f"queries enough (fewer_than is {settings.fewer_than}). Raise it (--fewer-than) for "
            "documents that have some."
        )
    drawn = _draw(open_, settings)
    return Chosen(
        ids=drawn,
        kept_back=len(ids) - len(free),
        asked_already=len(free) - len(open_),
        not_drawn=len(open_) - len(drawn),
    )


def passages(dataset: Dataset, ids: AbstractSet[str], settings: Synthesis) -> Iterator[Passage]:
    """Yield the passages of some documents, in the order of the file."""
    for document in dataset.documents():
        if document.id in ids:
            yield from pieces(document, settings)


def example_queries(dataset: Dataset, settings: Synthesis) -> list[str]:
    """Return queries that people asked of the train split, chosen by the seed.

    Which ones depends on the seed and their ids alone, not on their order.
    """
    if settings.examples == 0:
        return []
    human: set[str] = set()
    elsewhere: set[str] = set()
    for judgment in dataset.judgments():
        if judgment.split != "train":
            elsewhere.add(judgment.query_id)
        elif judgment.grade > 0 and judgment.origin.kind not in ("synthetic", "mined", "augmented"):
            human.add(judgment.query_id)
    wanted = human - elsewhere
    found = heapq.nsmallest(
        settings.examples,
        ((_place(query.id, settings.seed), query.content) for query in dataset.queries()
         if query.id in wanted),
    )  # fmt: skip
    return [
        " ".join(content.split())[: settings.filters.longest_characters] for _, content in found
    ]


def _answers(dataset: Dataset) -> tuple[set[str], Mapping[str, int]]:
    """Return the documents that answer dev or test, and how many queries of train each answers."""
    split_of: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set(), "aside": set()}
    asked: Counter[str] = Counter()
    for judgment in dataset.judgments():
        assert judgment.split is not None  # the writer decides every split
        if judgment.grade > 0:
            split_of[judgment.split].add(judgment.document_id)
            asked[judgment.document_id] += judgment.split == "train"
    # A query is set aside when its answers lie in two splits; those that train also are free.
    return split_of["dev"] | split_of["test"] | (split_of["aside"] - split_of["train"]), asked


def _draw(ids: list[str], settings: Synthesis) -> AbstractSet[str]:
    if settings.documents is None or settings.documents >= len(ids):
        return frozenset(ids)
    return frozenset(
        heapq.nsmallest(settings.documents, ids, key=lambda id: _place(id, settings.seed))
    )


def _place(id: str, seed: int) -> bytes:
    return hashlib.sha256(f"nearfar synthesis {seed}:{id}".encode()).digest()


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold()


def pieces(document: Document, settings: Synthesis) -> Iterator[Passage]:
    """Yield the first passages of a document, one after the other."""
    start, text = 0, document.content
    for _ in range(settings.passages_per_document):
        end = _end(text, start, settings.characters_per_passage)
        if text[start:end].strip():
            yield Passage(document=document, start=start, end=end)
        if end == len(text):
            return
        start = end


def _end(text: str, start: int, length: int) -> int:
    """Return where a passage ends: between paragraphs or words, if there are any near its end."""
    end = start + length
    if end >= len(text):
        return len(text)
    earliest = end - int(length * _CUT_BACK)
    for mark in ("\n\n", "\n", ". ", " "):
        if (place := text.rfind(mark, earliest, end)) > 0:
            return place + len(mark)
    return end
