"""The store in memory: exact search, words, and a graph of neighbours where there are many."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadFile, BadSetting, StoreFull
from nearfar.progress import Progress
from nearfar.records import Document
from nearfar.stores import memory_finding
from nearfar.stores.admitting import admitted, require_name, require_words
from nearfar.stores.contract import Entry, Found, Layout
from nearfar.stores.filters import Where, checked
from nearfar.stores.memory_graph import can_be_built, grown
from nearfar.stores.memory_growing import Array
from nearfar.stores.memory_table import Table

# Below this many rows every one is looked at: 20,000 of 256 numbers take 1.2 ms on two cores, so
# these take about the 2.5 ms that a query of a store on disk costs at any size.
_GRAPH_ROWS = 50_000
# What was taken out is cleared away when it takes this share: the graph is then built anew, and
# that takes minutes for a million rows.
_CLEARED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class _Kept:
    document: Document
    digest: str
    number: int  # in the table


class MemoryStore:
    """One version of an index in memory; a `Store` that is not durable.

    Writes come one after another; a search reads what stood there when it began, undisturbed.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = replace(layout, fields=MappingProxyType(dict(layout.fields)))
        self._facts = "{}"
        self._kept: dict[str, _Kept] = {}
        self._table = Table(self._layout)
        self._view = self._table.view(None)
        self._writing, self._tidying = threading.Lock(), threading.Lock()

    @property
    def layout(self) -> Layout:
        """What was settled when it was made."""
        return self._layout

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was last said of it with `tell`."""
        facts: dict[str, Any] = json.loads(self._facts)
        return facts

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Keep these facts in place of the earlier ones."""
        self._facts = json.dumps(dict(facts))

    def count(self) -> int:
        """Return how many documents it holds."""
        return len(self._kept)

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Put documents in; see `Store`."""
        put = admitted(entries, self._layout)
        if not put:
            return
        with self._writing:
            replaced = [self._kept[id_].number for id_ in put if id_ in self._kept]
            try:
                numbers = self._table.add(list(put.values()), replaced)
            except MemoryError as error:
                raise StoreFull(
                    f"There is no memory left for {len(put):,} more documents beside "
                    f"{len(self._kept):,}. Nothing of them was kept. Keep the index on disk, or "
                    "give the process more memory."
                ) from error
            self._publish()
            for number, (id_, entry) in zip(numbers, put.items(), strict=True):
                self._kept[id_] = _Kept(_own(entry.document), entry.digest, number)

    def delete(self, ids: Iterable[str]) -> int:
        """Take documents out; return how many were there."""
        with self._writing:
            gone = [id_ for id_ in dict.fromkeys(ids) if id_ in self._kept]
            if gone:
                self._table.remove([self._kept[id_].number for id_ in gone])
                self._publish()
                for id_ in gone:
                    del self._kept[id_]
            return len(gone)

    def fetch(self, ids: Iterable[str]) -> dict[str, Document]:
        """Return the documents of these ids that are there."""
        return {id_: kept.document for id_, kept in self._known(ids)}

    def digests(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the digests of these ids that are there."""
        return {id_: kept.digest for id_, kept in self._known(ids)}

    def scan(self, after: str = "") -> Iterator[Document]:
        """Yield all documents with an id above `after`, in the order of their ids."""
        known = list(self._kept)  # one step of the interpreter: no write comes between
        for _, kept in self._known(sorted(id_ for id_ in known if id_ > after)):
            yield kept.document

    def nearest(
        self,
        vectors: Float[Tensor, "Q D"],
        k: int,
        *,
        where: Where = (),
        exact: bool = False,
    ) -> list[list[Found]]:
        """Return of each query the k nearest documents; see `Store`."""
        asked = checked(where, self._layout.fields)
        find = memory_finding.exact if exact else memory_finding.approximate
        return find(self._view, _queries(vectors, k, self._layout.dim), k, asked)

    def worded(self, queries: Sequence[str], k: int, *, where: Where = ()) -> list[list[Found]]:
        """Return of each query the k documents whose words say most (BM25); see `Store`."""
        require_words(self._layout)
        _require_places(k)
        asked, view = checked(where, self._layout.fields), self._view
        return [memory_finding.worded(view, query, k, asked) for query in queries]

    def optimise(self, progress: Progress) -> None:
        """Clear away what was taken out, and bring the graph of neighbours up to date.

        Writes and searches go on while the graph is built; the library faiss must be there
        (`pip install 'nearfar[faiss]'`), else every search is exact.
        """
        with self._tidying:
            with self._writing:
                if self._table.dead_share() >= _CLEARED_SHARE:
                    self._clear()
                view = self._view
            rows = len(view.vectors)
            if rows < _GRAPH_ROWS or not can_be_built():
                return
            if view.graph is not None and view.graph.rows == rows:
                return
            graph = grown(view.graph, view.vectors, progress)
            with self._writing:
                self._view = self._table.view(graph)

    def pending(self) -> int:
        """Return how many vectors an approximate search has to look at one by one."""
        view = self._view
        known = 0 if view.graph is None else view.graph.rows
        return int(np.count_nonzero(view.rows_alive[known:]))

    def close(self) -> None:
        """Do nothing: what is in memory is let go of when nobody has it."""

    def _known(self, ids: Iterable[str]) -> Iterator[tuple[str, _Kept]]:
        for id_ in ids:
            kept = self._kept.get(id_)
            if kept is not None:
                yield id_, kept

    def _publish(self) -> None:
        self._view = self._table.view(self._view.graph)

    def _clear(self) -> None:
        # All documents are numbered anew: a graph of their former rows is void.
        self._table = self._table.cleared()
        self._view = self._table.view(None)
        self._kept = {
            id_: replace(self._kept[id_], number=number)
            for number, id_ in enumerate(self._view.ids)
        }


class MemoryShelf:
    """Versions of one index in memory: not durable, gone when the process ends."""

    def __init__(self) -> None:
        self._stores: dict[str, MemoryStore] = {}
        self._live: str | None = None
        self._changing = threading.Lock()

    def versions(self) -> list[str]:
        """Return the names of all versions, the oldest first."""
        return list(self._stores)

    def live(self) -> str | None:
        """Return the version that searches go to; None: none was chosen yet."""
        return self._live

    def switch(self, version: str, expected: str | None) -> None:
        """Make a version live if `expected` is live now; see `Shelf`."""
        with self._changing:
            self._require(version)
            if self._live != expected:
                raise BadSetting(
                    f"Expected {_called(expected)} to be live, found {_called(self._live)}: "
                    f"someone else has switched. Look at both before you switch to {version!r}."
                )
            self._live = version

    def create(self, version: str, layout: Layout) -> MemoryStore:
        """Make an empty version; see `Shelf`."""
        require_name(version)
        with self._changing:
            if version in self._stores:
                raise BadSetting(
                    f"There is a version {version!r} already. Choose another name, or drop it."
                )
            store = self._stores[version] = MemoryStore(layout)
            return store

    def open(self, version: str) -> MemoryStore:
        """Open a version; see `Shelf`."""
        store = self._stores.get(version)
        if store is None:
            raise BadFile(self._none(version))
        return store

    def drop(self, version: str) -> None:
        """Remove a version that is not live; who has it may go on; see `Shelf`."""
        with self._changing:
            self._require(version)
            if self._live == version:
                raise BadSetting(
                    f"Version {version!r} is live: searches go to it. Switch to another first."
                )
            del self._stores[version]

    def _require(self, version: str) -> None:
        if version not in self._stores:
            raise BadSetting(self._none(version))

    def _none(self, version: str) -> str:
        known = ", ".join(self._stores) or "none yet"
        return f"There is no version {version!a} in memory. There are: {known}."


def _called(version: str | None) -> str:
    return "no version" if version is None else f"version {version!r}"


def _own(document: Document) -> Document:
    """Return the document with fields that nobody else can change."""
    return replace(document, fields=MappingProxyType(dict(document.fields)))


def _queries(vectors: Float[Tensor, "Q D"], k: int, dim: int) -> Array:
    _require_places(k)
    if vectors.shape[1] != dim:
        raise ValueError(f"queries have {vectors.shape[1]} dimensions, and this store {dim}.")
    return vectors.detach().cpu().float().contiguous().numpy()


def _require_places(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}.")
