"""The queue between many requests and the one thread that computes: batched, fair and bounded.

Only the event loop touches what waits here, so nothing is locked; the thread is given a batch
and hands back its results.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nearfar.serve.queue_waiting import Entry, Failed, Lane, Ticket, Waiting

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_MOST_SECONDS = 60  # a client is told to stay away for at most
_NEW = 0.2  # share of the latest batch in the speed that is remembered


class Full(Exception):
    """So much waits that no more is taken in."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_seconds} s")
        self.retry_seconds = retry_seconds


class Closed(Exception):
    """The queue is not open: it has not begun, or finishes what waits and takes no more."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch that was computed, for those who measure."""

    items: int
    tokens: int
    padded_tokens: int  # items times the longest
    seconds: float


@dataclass(frozen=True)
class Done(Generic[_Result]):
    """What became of one request."""

    results: list[_Result]  # in the order of its items
    queue_seconds: float  # while none of its items was computed
    compute_seconds: float  # of all batches that held one of them, company included


class Queue:
    """Takes items of many requests, computes them in batches, and puts each request together.

    Args:
        waiting_tokens: how many may wait. A request that alone is larger is taken in when
            nothing else waits.
        told: is given each batch that was computed; in the event loop, so it must be quick.
        clock: tells seconds.
    """

    def __init__(
        self,
        *,
        waiting_tokens: int,
        told: Callable[[Batch], None] = lambda batch: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = waiting_tokens
        self._told = told
        self._clock = clock
        self._waiting = Waiting()
        self._tokens_per_second = 0.0
        self._open = False
        self._wake = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting_tokens(self) -> int:
        """How many tokens wait, those under way not counted."""
        return self._waiting.tokens

    @property
    def waiting_items(self) -> int:
        """How many texts or pairs wait, those under way not counted."""
        return self._waiting.items

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        return self._open

    def start(self) -> None:
        """Begin to compute, in the running event loop."""
        assert self._worker is None, "a queue starts once"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nearfar-compute")
        self._worker = asyncio.get_running_loop().create_task(self._work(self._thread))
        self._open = True

    async def drain(self) -> None:
        """Take no more, compute all that waits, and end the thread."""
        self._open = False
        self._wake.set()
        if self._worker is not None:
            await self._worker
        if self._thread is not None:
            self._thread.shutdown(wait=False)  # it has nothing left to do

    def require_room(self, tokens: int = 1) -> None:
        """Stop a request that would be refused before any work is done for it.

        Raises:
            Full: more waits than may, with these tokens.
            Closed: nothing is taken in.
        """
        if not self._open:
            raise Closed
        waiting = self.waiting_tokens
        if waiting and waiting + tokens > self._most:
            seconds = waiting / self._tokens_per_second if self._tokens_per_second else 1
            raise Full(max(1, min(math.ceil(seconds), _MOST_SECONDS)))

    async def compute(
        self, lane: Lane[_Item, _Result], items: Sequence[_Item], tokens: Sequence[int]
    ) -> Done[_Result]:
        """Return the results of all items, as soon as the last is computed.

        Who is cancelled while waiting here gives its place free at once.

        Args:
            lane: how they are computed.
            items: of one request, any number.
            tokens: of each item.

        Raises:
            Full, Closed: see `require_room`; nothing of the request was taken in.
            Exception: whatever computing one of its items raised; other requests of the batch
                have their results.
        """
        self.require_room(sum(tokens))
        arrived = self._clock()
        ticket = Ticket(len(items))
        if not items:
            return Done([], 0.0, 0.0)
        self._waiting.add(lane, ticket, items, tokens)
        self._wake.set()
        try:
            await ticket.done.wait()
        finally:
            if ticket.left:  # its client has gone, or one of its items cannot be computed
                self._waiting.remove(ticket)
        if ticket.error is not None:
            raise ticket.error
        spent = ticket.ended - arrived
        return Done(ticket.results, max(spent - ticket.seconds, 0.0), ticket.seconds)

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        try:
            while self._open or self._waiting.items:
                if self._waiting.items:
                    await self._next_batch(thread)
                else:
                    self._wake.clear()
                    await self._wake.wait()
        finally:  # nobody may wait for a worker that is gone
            self._open = False
            self._waiting.fail(Closed())

    async def _next_batch(self, thread: ThreadPoolExecutor) -> None:
        lane, entries = self._waiting.take()
        began = self._clock()
        items = [entry.item for entry in entries]
        work = asyncio.get_running_loop().run_in_executor(thread, _computed, lane.compute, items)
        try:
            self._hand_out(entries, await work, began)
        except BaseException:  # the worker ends: who is in this batch no longer waits
            for entry in entries:
                entry.ticket.fail(Closed())
            raise

    def _hand_out(self, entries: Sequence[Entry], results: Sequence[Any], began: float) -> None:
        ended = self._clock()
        seconds = ended - began
        for ticket in {id(entry.ticket): entry.ticket for entry in entries}.values():
            ticket.seconds += seconds
            ticket.ended = ended
        for entry, result in zip(entries, results, strict=True):
            entry.ticket.take(entry.place, result)
        tokens = sum(entry.tokens for entry in entries)
        if seconds > 0:
            share = _NEW if self._tokens_per_second else 1.0
            self._tokens_per_second += share * (tokens / seconds - self._tokens_per_second)
        longest = max(entry.tokens for entry in entries)
        self._told(Batch(len(entries), tokens, longest * len(entries), seconds))


def _computed(compute: Callable[[Sequence[Any]], Sequence[Any]], items: list[Any]) -> list[Any]:
    """Compute a batch; where that fails, halves of it, so that one item fails alone."""
    try:
        results = list(compute(items))
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items were computed to {len(results)} results.")
        return results
    except Exception as error:
        if len(items) == 1:
            return [Failed(error)]
    half = len(items) // 2
    return _computed(compute, items[:half]) + _computed(compute, items[half:])
