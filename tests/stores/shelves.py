"""Every kind of shelf, empty and of its own; entries to put in, and slow twins to hold them to."""

import importlib.util
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nearfar.data.words import words_of
from nearfar.records import Document, Scalar
from nearfar.stores.contract import Entry, Found, Layout, Shelf, Store
from nearfar.stores.filters import Where, checked, matches

# A kind whose module is not written yet is not asked.
KINDS = [
    kind
    for kind in ("memory", "lance", "postgres")
    if importlib.util.find_spec(f"nearfar.stores.{kind}")
]
DURABLE = {"lance", "postgres"}

LAYOUT = Layout(
    dim=4,
    fields={"lang": "text", "year": "integer", "price": "number", "open": "truth"},
)


@dataclass(frozen=True)
class Place:
    """Where one test keeps its shelf."""

    kind: str
    folder: Path
    server: str  # address of PostgreSQL; of the other kinds empty
    index: str  # no other test's

    @property
    def durable(self) -> bool:
        return self.kind in DURABLE

    def shelf(self) -> Shelf:
        """Return the shelf as a process would see it that has just begun."""
        if self.kind == "lance":
            from nearfar.stores.lance import LanceShelf

            return LanceShelf(self.folder)
        if self.kind == "postgres":
            from nearfar.stores.postgres import PostgresShelf

            return PostgresShelf(self.server, self.index)
        from nearfar.stores.memory import MemoryShelf

        return MemoryShelf()


def entry(
    name: str,
    vectors: Tensor | Sequence[float] = (1.0, 0.0, 0.0, 0.0),
    content: str | None = None,
    fields: Mapping[str, Scalar] | None = None,
    digest: str = "",
) -> Entry:
    """Return a document of that id; of several vectors each stands for a piece of one letter."""
    rows = torch.as_tensor(vectors, dtype=torch.float32)
    rows = rows[None] if rows.ndim == 1 else rows
    text = f"text of {name}" if content is None else content
    pieces = [(at, at + 1) for at in range(len(rows))] if len(rows) > 1 else [(0, len(text))]
    document = Document(id=name, content=text, fields=fields or {})
    return Entry(document, digest or f"digest of {text}", rows, tuple(pieces))


def unit_rows(rows: int, dim: int = 4, seed: int = 0) -> Tensor:
    """Return vectors of length 1 whose cosines are all different."""
    dice = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=dice), dim=1)


def halves(rows: int, seed: int = 0) -> Tensor:
    """Return vectors of halves: their cosines are exact in any arithmetic, and often equal."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (rows, 4), generator=dice) - 0.5


def slow_nearest(
    entries: Iterable[Entry],
    query: Tensor,
    k: int,
    where: Where = (),
    layout: Layout = LAYOUT,
) -> list[tuple[str, float]]:
    """Return ids and scores by loops over everything; of one id the last counts."""
    where = checked(where, layout.fields)
    scores = {
        one.document.id: max((row.double() @ query.double()).item() for row in one.vectors)
        for one in {one.document.id: one for one in entries}.values()
        if matches(where, one.document.fields)
    }
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]


def slow_words(
    entries: Iterable[Entry], query: str, k: int, where: Where = (), layout: Layout = LAYOUT
) -> list[tuple[str, float]]:
    """Return ids and BM25 scores by loops; rarity is counted over all, whatever is narrowed."""
    where = checked(where, layout.fields)
    documents = [one.document for one in entries]
    words = [Counter(words_of(document.content)) for document in documents]
    mean = sum(found.total() for found in words) / max(len(words), 1)
    scores: dict[str, float] = {}
    for document, found in zip(documents, words, strict=True):
        for word in words_of(query):
            if found[word] and matches(where, document.fields):
                held = sum(word in other for other in words)
                rarity = math.log(1 + (len(words) - held + 0.5) / (held + 0.5))
                length = 1 - 0.75 + 0.75 * found.total() / mean
                said = rarity * found[word] / (found[word] + 1.5 * length)
                scores[document.id] = scores.get(document.id, 0) + said
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]


def named(hits: Sequence[Found]) -> list[str]:
    """Return only the ids."""
    return [hit.id for hit in hits]


def contents(store: Store) -> dict[str, str]:
    """Return what stands in a store."""
    return {document.id: document.content for document in store.scan()}


def kinds_of(document: Document) -> dict[str, type]:
    """Return the kinds of the fields: True, 1 and 1.0 are equal, and not the same."""
    return {name: type(value) for name, value in document.fields.items()}


NewStore = Callable[..., Store]
