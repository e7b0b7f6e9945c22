"""Counts of each (query, document, rank): all that is kept of a log, however long it is."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import BadFile

Ints = NDArray[np.int64]

_RANK_BITS, _DOCUMENT_BITS, _QUERY_BITS = 7, 28, 28  # 63: one key is one non-negative number
_LEAST_BUFFER = 1_000_000  # cells that wait before they are merged: 48 MB


@dataclass(frozen=True)
class Cells:
    """One row for each (query, document, rank), in that order; row i of each array is one cell.

    The pairs (query, document) are numbered in order too: `pair` says to which a cell belongs.
    """

    keys: Ints
    impressions: Ints
    clicks: Ints
    satisfied: Ints
    skips: Ints
    first_page: Ints  # the earliest in the log

    @cached_property
    def rank(self) -> Ints:
        """Return the rank of each cell, from 1."""
        return self.keys & ((1 << _RANK_BITS) - 1)

    @cached_property
    def pair(self) -> Ints:
        """Return the number of the pair of each cell, from 0."""
        pairs = self.keys >> _RANK_BITS
        return np.cumsum(np.diff(pairs, prepend=pairs[:1]) != 0)

    @cached_property
    def first(self) -> Ints:
        """Return the first cell of each pair."""
        pairs = self.keys >> _RANK_BITS
        return np.flatnonzero(np.diff(pairs, prepend=-1) != 0)

    @property
    def query(self) -> Ints:
        """Return the query of each pair."""
        return self.keys[self.first] >> (_RANK_BITS + _DOCUMENT_BITS)

    @property
    def document(self) -> Ints:
        """Return the document of each pair."""
        return (self.keys[self.first] >> _RANK_BITS) & ((1 << _DOCUMENT_BITS) - 1)


@dataclass
class Counts:
    """Adds up events, a chunk at a time; memory grows with the cells, not with the events."""

    _parts: list[Cells] = field(default_factory=list)
    _waiting: int = 0

    def add(
        self, query: Ints, document: Ints, rank: Ints, marks: tuple[Ints, Ints, Ints, Ints]
    ) -> None:
        """Count a chunk of events.

        Args:
            query: (E,) the number of the query.
            document: (E,) the number of the document.
            rank: (E,) from 1 to 100.
            marks: clicked, satisfied and skipped, each (E,) of 0 or 1; and (E,) the page.

        Raises:
            BadFile: there are more queries or documents than a key has room for.
        """
        if not len(query):
            return
        for name, values, bits in (
            ("queries", query, _QUERY_BITS),
            ("documents", document, _DOCUMENT_BITS),
        ):
            if values.max() >> bits:
                raise BadFile(
                    f"The log has more than {1 << bits:,} different {name}, the most that is "
                    "counted at once. Import it in parts."
                )
        keys = (((query << _DOCUMENT_BITS) | document) << _RANK_BITS) | rank
        clicked, satisfied, skipped, page = marks
        part = _merged([Cells(keys, np.ones_like(keys), clicked, satisfied, skipped, page)])
        self._parts.append(part)
        self._waiting += len(part.keys)
        if self._waiting > max(_LEAST_BUFFER, len(self._parts[0].keys)):
            self.cells()

    def cells(self) -> Cells:
        """Return everything counted so far."""
        if not self._parts:
            nothing = np.empty(0, dtype=np.int64)
            return Cells(nothing, nothing, nothing, nothing, nothing, nothing)
        self._parts = [_merged(self._parts)]
        self._waiting = 0
        return self._parts[0]


def _merged(parts: list[Cells]) -> Cells:
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1) != 0)

    def summed(name: str) -> Ints:
        values = np.concatenate([getattr(part, name) for part in parts])
        total: Ints = np.add.reduceat(values[order], starts)
        return total

    pages = np.concatenate([part.first_page for part in parts])
    return Cells(
        keys=keys[starts],
        impressions=summed("impressions"),
        clicks=summed("clicks"),
        satisfied=summed("satisfied"),
        skips=summed("skips"),
        first_page=np.minimum.reduceat(pages[order], starts),
    )
