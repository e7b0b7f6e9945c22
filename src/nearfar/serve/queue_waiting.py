"""What waits in the queue, and which of it comes next: batches of like length, nobody crowded out.

Every item gets a turn as it arrives, a count of tokens:

    turn of item i = turn of the item that leads the latest batch + tokens of items 1 to i

summed over its own request. The lowest turn leads the next batch; the rest of the batch are the
items nearest to it in length, whatever their turn. So a request of one text does not wait behind
all texts of one that has thousands; and no text waits for ever, since each that leads before it
brings the turns of newcomers nearer to its own.

Source: Golestani 1994, "A self-clocked fair queueing scheme for broadband applications",
    doi:10.1109/INFCOM.1994.337677, eq. 2, with requests as sessions of equal weight.
"""

import asyncio
import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_FEW = 16


@dataclass(frozen=True)
class Lane(Generic[_Item, _Result]):
    """What may share a batch: one model, asked in one way."""

    key: Hashable  # lanes with equal keys are one
    compute: Callable[[Sequence[_Item]], Sequence[_Result]]  # one result an item, in their order
    tokens_per_batch: int  # at most, padding included; a longer item stands alone


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of a result: what computing the item raised."""

    error: Exception


class Ticket:
    """One request: its results as they come in, from however many batches."""

    def __init__(self, items: int) -> None:
        self.results: list[Any] = [None] * items
        self.left = items  # that are not computed
        self.seconds = 0.0  # of the batches it had a part in
        self.ended = 0.0  # when the latest of them did
        self.error: Exception | None = None
        self.done = asyncio.Event()

    def take(self, place: int, result: Any) -> None:
        """Put one result in its place; a failure ends the whole request."""
        if isinstance(result, Failed):
            self.fail(result.error)
            return
        self.results[place] = result
        self.left -= 1
        if not self.left:
            self.done.set()

    def fail(self, error: Exception) -> None:
        """End the request without its results; of several errors the first is told."""
        self.error = self.error or error
        self.done.set()


@dataclass(slots=True, eq=False)
class Entry:
    """One item that waits."""

    ticket: Ticket
    place: int  # among the items of its request
    item: Any
    tokens: int  # 1 or more
    turn: int
    number: int  # in the order of arrival
    waits: bool = True  # False: it was taken, but still stands in the order of turns


@dataclass(slots=True)
class _Line:
    """All that waits in one lane, in two orders."""

    lane: Lane[Any, Any]
    by_length: list[Entry] = field(default_factory=list)
    by_turn: list[tuple[int, int, Entry]] = field(default_factory=list)  # a heap

    def add(self, entries: Sequence[Entry]) -> None:
        """Put entries in, which stand in the order of their turns."""
        for entry in entries:
            heapq.heappush(self.by_turn, (*_turn(entry), entry))
        if len(entries) < _FEW:
            for entry in entries:
                insort(self.by_length, entry, key=_length)
        else:  # one pass over all instead of one for each
            self.by_length.extend(sorted(entries, key=_length))
            self.by_length.sort(key=_length)

    def first(self) -> Entry:
        """Return the waiting entry with the lowest turn."""
        while not self.by_turn[0][2].waits:
            heapq.heappop(self.by_turn)
        return self.by_turn[0][2]


class Waiting:
    """All items that wait, in their lanes."""

    def __init__(self) -> None:
        self.items = 0
        self.tokens = 0
        self._lines: dict[Hashable, _Line] = {}
        self._turn = 0  # of the item that led the latest batch
        self._number = 0

    def add(
        self,
        lane: Lane[Any, Any],
        ticket: Ticket,
        items: Sequence[Any],
        tokens: Sequence[int],
    ) -> None:
        """Let the items of one request wait."""
        turn = self._turn
        entries = []
        for place, (item, said) in enumerate(zip(items, tokens, strict=True)):
            length = max(said, 1)
            turn += length
            self._number += 1
            entries.append(Entry(ticket, place, item, length, turn, self._number))
            self._count(1, length)
        self._lines.setdefault(lane.key, _Line(lane)).add(entries)

    def take(self) -> tuple[Lane[Any, Any], list[Entry]]:
        """Take the next batch out: the item whose turn it is, and those nearest to it in length."""
        line = min(self._lines.values(), key=lambda some: _turn(some.first()))
        leader = line.first()
        self._turn = leader.turn
        start = bisect_left(line.by_length, _length(leader), key=_length)
        start, stop = _window(line.by_length, start, line.lane.tokens_per_batch)
        taken = line.by_length[start:stop]
        del line.by_length[start:stop]
        for entry in taken:
            entry.waits = False
            self._count(-1, -entry.tokens)
        self._forget_if_empty(line)
        return line.lane, taken

    def remove(self, ticket: Ticket) -> None:
        """Take out all that waits for one request."""
        for line in list(self._lines.values()):
            gone = [entry for entry in line.by_length if entry.ticket is ticket]
            if not gone:
                continue
            for entry in gone:
                self._count(-1, -entry.tokens)
            line.by_length = [entry for entry in line.by_length if entry.ticket is not ticket]
            line.by_turn = [(entry.turn, entry.number, entry) for entry in line.by_length]
            heapq.heapify(line.by_turn)
            self._forget_if_empty(line)

    def fail(self, error: Exception) -> None:
        """End every request that waits."""
        for line in self._lines.values():
            for entry in line.by_length:
                entry.ticket.fail(error)

    def _count(self, items: int, tokens: int) -> None:
        self.items += items
        self.tokens += tokens

    def _forget_if_empty(self, line: _Line) -> None:
        if not line.by_length:  # with it goes what holds its model
            del self._lines[line.lane.key]


def _length(entry: Entry) -> tuple[int, int]:
    return entry.tokens, entry.number


def _turn(entry: Entry) -> tuple[int, int]:
    return entry.turn, entry.number


def _window(entries: Sequence[Entry], at: int, tokens_per_batch: int) -> tuple[int, int]:
    """Return from where to where a batch goes around the entry `at`, grown to the nearer side.

    Items times the longest of them, padding included, is at most `tokens_per_batch`.
    """
    start, stop = at, at + 1
    length = entries[at].tokens
    while True:
        fits = tokens_per_batch // (stop - start + 1)  # so long may the longest be with one more
        shorter = entries[start - 1].tokens if start and entries[stop - 1].tokens <= fits else None
        longer = entries[stop].tokens if stop < len(entries) else None
        if longer is not None and longer > fits:
            longer = None
        if shorter is None and longer is None:
            return start, stop
        if longer is None or (shorter is not None and length - shorter <= longer - length):
            start -= 1
        else:
            stop += 1
