"""Documents and vectors in memory as columns: written at their end, read as of one moment.

Shapes: C documents, R rows of vectors (one a piece of a document), D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from nearfar.stores.contract import Entry, Layout
from nearfar.stores.filters import Where
from nearfar.stores.memory_fields import Field, FieldView, Truths, narrowed, values_of
from nearfar.stores.memory_graph import Graph
from nearfar.stores.memory_growing import Array, Growing
from nearfar.stores.words_index import Words


@dataclass(frozen=True)
class View:
    """All that was in memory at one moment: a search reads one, and no write disturbs it."""

    ids: Sequence[str]  # of the documents, by their numbers; later ones may stand behind
    alive: Truths  # (C,) False where a document was taken out, or put in anew
    vectors: Array  # (R, D)
    owners: Array  # (R,) the document of each row
    starts: Array  # (C,) the first row of each document
    fields: Mapping[str, FieldView]
    words: Words
    graph: Graph | None = None

    @cached_property
    def count(self) -> int:
        """How many documents are there."""
        return int(self.alive.sum())

    @cached_property
    def rows_alive(self) -> Truths:
        """Of each row, whether its document is there."""
        return self.alive[self.owners]  # (R,)

    def documents_among(self, where: Where) -> Truths:
        """Return which documents are there and match."""
        return narrowed(where, self.fields, self.alive)


class Table:
    """The columns as they are written; one thread at a time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._ids: list[str] = []
        self._alive: Truths = np.empty(0, np.bool_)
        self._vectors = Growing(np.float32, layout.dim)
        self._owners, self._starts = Growing(np.int64), Growing(np.int64)
        self._fields = {name: Field(kind) for name, kind in layout.fields.items()}
        self._words = Words({})

    def view(self, graph: Graph | None) -> View:
        """Return everything as it is now; what is written later does not change it."""
        return View(
            self._ids, self._alive, self._vectors.view(), self._owners.view(),
            self._starts.view(), {name: one.view() for name, one in self._fields.items()},
            self._words, graph,
        )  # fmt: skip

    def add(self, entries: Sequence[Entry], replaced: Sequence[int]) -> range:
        """Write documents, and leave out those that they stand in place of.

        Args:
            entries: admitted, each id once.
            replaced: the numbers of documents with these ids.

        Returns:
            The numbers of the documents.

        Raises:
            MemoryError: there is no room; nothing has changed.
        """
        first, pieces = len(self._ids), [len(entry.vectors) for entry in entries]
        # 1. All that can fail, before anything is written.
        for column, more in ((self._vectors, sum(pieces)), (self._owners, sum(pieces)),
                             (self._starts, len(entries))):  # fmt: skip
            column.reserve(more)
        for field in self._fields.values():
            field.reserve(len(entries))
        vectors = torch.cat([entry.vectors.detach().cpu().float() for entry in entries]).numpy()
        texts = [entry.document.content for entry in entries]
        words = self._words.added(texts if self._layout.words else [])
        alive = np.concatenate([self._alive, np.ones(len(entries), np.bool_)])
        # 2. And what cannot.
        alive[list(replaced)] = False
        self._starts.append(len(self._owners) + np.cumsum([0, *pieces[:-1]]))
        self._owners.append(np.repeat(np.arange(first, first + len(entries)), pieces))
        self._vectors.append(vectors)
        for name, field in self._fields.items():
            field.append(values_of([entry.document for entry in entries], name))
        self._ids.extend(entry.document.id for entry in entries)
        self._words, self._alive = words, alive
        return range(first, len(self._ids))

    def remove(self, numbers: Sequence[int]) -> None:
        """Leave documents out of what is found; their place is kept until `cleared`."""
        alive = self._alive.copy()
        alive[list(numbers)] = False
        self._alive = alive

    def dead_share(self) -> float:
        """Return the share of documents that were taken out and still take their place."""
        return 1 - float(self._alive.mean()) if len(self._alive) else 0.0

    def cleared(self) -> "Table":
        """Return a table of what is there, in the same order, numbered anew."""
        alive = self._alive
        some = Table(self._layout)
        some._ids = [id_ for id_, there in zip(self._ids, alive.tolist(), strict=True) if there]
        some._alive = np.ones(len(some._ids), np.bool_)
        rows = alive[self._owners.view()]
        some._vectors = self._vectors.kept(rows)
        numbers = np.cumsum(alive) - 1
        owners = numbers[self._owners.view()[rows]]
        some._owners.reserve(len(owners))
        some._owners.append(owners)
        starts = np.searchsorted(owners, np.arange(len(some._ids)))
        some._starts.reserve(len(starts))
        some._starts.append(starts)
        some._fields = {name: field.kept(alive) for name, field in self._fields.items()}
        some._words = self._words.kept(alive)
        return some
