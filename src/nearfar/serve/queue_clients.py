"""Between a route and the queue: counting beside the event loop, watching the client, timing."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

from fastapi import Request

from nearfar.serve.errors import Refusal
from nearfar.serve.queue import Closed, Full, Queue
from nearfar.serve.queue_waiting import Lane
from nearfar.serve.served import Bounds, Serving

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_LOG = logging.getLogger(__name__)
_CHARACTERS_AT_ONCE = 50_000  # tokenised in some 20 ms
_GONE = 499  # as nginx calls it: nobody reads the answer, logs and metrics do


@dataclass(slots=True)
class Timing:
    """Where the time of one request went, and how much was computed for it.

    Routes put it into `request.state.timing`, for those who measure.
    """

    began: float = field(default_factory=perf_counter)
    tokenization_seconds: float = 0.0
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    tokens: int = 0
    cut_texts: int = 0  # whose end, or beginning, the model does not read

    def headers(self) -> dict[str, str]:
        """Return what a client is told: whole milliseconds, under TEI's names."""
        return {
            "x-total-time": _milliseconds(perf_counter() - self.began),
            "x-tokenization-time": _milliseconds(self.tokenization_seconds),
            "x-queue-time": _milliseconds(self.queue_seconds),
            "x-inference-time": _milliseconds(self.compute_seconds),
            "x-compute-tokens": str(self.tokens),
            "x-cut-texts": str(self.cut_texts),
        }


TIMING_HEADERS: dict[str, Any] = {
    name: {"description": said, "schema": {"type": "integer", "minimum": 0}}
    for name, said in {
        "x-total-time": "Milliseconds from the whole request to the answer.",
        "x-tokenization-time": "Milliseconds for counting tokens.",
        "x-queue-time": "Milliseconds of waiting for other requests.",
        "x-inference-time": "Milliseconds of the batches that held a part of the request.",
        "x-compute-tokens": "Tokens that the model read.",
        "x-cut-texts": "Texts that are longer than the model reads, and were cut.",
    }.items()
}


class Work:
    """What all routes share: the offer, the queue, the bounds, and a thread that counts tokens."""

    def __init__(self, serving: Serving, queue: Queue, bounds: Bounds) -> None:
        self.serving = serving
        self.queue = queue
        self.bounds = bounds
        self._counting: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="nearfar-count")
        self.queue.start()

    async def drain(self) -> None:
        """Compute what waits, and end."""
        await self.queue.drain()
        if self._counting is not None:
            self._counting.shutdown(wait=False, cancel_futures=True)

    def require_room(self) -> None:
        """Stop what would be refused in any case before its tokens are counted.

        Raises:
            Refusal: the queue is full, or not open.
        """
        try:
            self.queue.require_room()
        except (Full, Closed) as error:
            raise _refusal(error) from error

    async def count(
        self, timing: Timing, texts: Sequence[str], counting: Callable[[list[str]], list[_Result]]
    ) -> list[_Result]:
        """Return what `counting` says of each text, beside the event loop.

        Piece by piece, so that a request of short texts waits for one piece of a long one.
        """
        began = perf_counter()
        assert self._counting is not None, "the application has not begun"
        loop = asyncio.get_running_loop()
        found: list[_Result] = []
        for piece in _pieces(texts):
            found += await loop.run_in_executor(self._counting, counting, piece)
        timing.tokenization_seconds += perf_counter() - began
        return found

    async def compute(
        self,
        timing: Timing,
        lane: Lane[_Item, _Result],
        items: Sequence[_Item],
        tokens: Sequence[int],
    ) -> list[_Result]:
        """Return the results of all items.

        Raises:
            Refusal: the queue is full or closed, or the model failed.
        """
        try:
            done = await self.queue.compute(lane, items, tokens)
        except (Full, Closed) as error:
            raise _refusal(error) from error
        except Exception as error:
            _LOG.exception("the model failed on a request of %d items", len(items))
            raise Refusal(500, "The model failed on this request; the server's log says why.",
                          code="model_failed") from error  # fmt: skip
        timing.queue_seconds += done.queue_seconds
        timing.compute_seconds += done.compute_seconds
        timing.tokens += sum(tokens)
        return done.results


async def while_there(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what `work` does, and cancel it as soon as the client has left.

    Raises:
        Refusal: the client has left; the answer reaches nobody.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refusal(_GONE, "The client left before it was answered.")
    finally:
        for task in (working, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _left(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the rest of a body that nobody reads


def _pieces(texts: Sequence[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    characters = 0
    for text in texts:
        piece.append(text)
        characters += len(text) + 1
        if characters >= _CHARACTERS_AT_ONCE:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece


def _refusal(error: Full | Closed) -> Refusal:
    if isinstance(error, Full):
        message = f"Too much waits to be computed. Try again in {error.retry_seconds} s."
        return Refusal(429, message, code="overloaded", retry_seconds=error.retry_seconds)
    message = "The server takes no requests: it begins or ends. Try again, or ask another one."
    return Refusal(503, message, code="closed", retry_seconds=1)


def _milliseconds(seconds: float) -> str:
    return str(round(1_000 * seconds))
