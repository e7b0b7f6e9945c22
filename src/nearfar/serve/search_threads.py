"""Between threads that search or write, and the queue that computes for them.

A search runs in a thread; what it needs of a model it asks the event loop for, and waits. When
its client leaves, what it waits for is taken out of the queue, and the thread ends.

Shapes: N texts, P pairs, D dimensions.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.model.reranker import Reranker, pairs_of_one
from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.serve.embed_vectors import Asked, lane_of, read_texts, require_tokens
from nearfar.serve.errors import Refusal
from nearfar.serve.queue_clients import Timing, Work
from nearfar.serve.rerank_scores import AskedRanks, Pair, pair_lane, read_pairs
from nearfar.serve.served import Served

_Result = TypeVar("_Result")
_TEXTS_AT_ONCE = 64  # of a write: others get their turns between


class Bridge:
    """Lets the thread of one request wait for the event loop, until the request is given up."""

    def __init__(self) -> None:
        """Begin, in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._changing = threading.Lock()
        self._waiting: Future[Any] | None = None
        self._over = False

    def __call__(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return what the event loop makes of `work`; called in the thread.

        Raises:
            CancelledError: nobody waits for the request any more.
            Refusal: whatever `work` raises.
        """
        with self._changing:
            if self._over:
                work.close()
                raise CancelledError
            waiting = self._waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        found: _Result = waiting.result()
        return found

    def give_up(self) -> None:
        """End what the thread waits for, and all that it would wait for later."""
        with self._changing:
            self._over = True
            if self._waiting is not None:
                self._waiting.cancel()


async def in_thread(pool: Executor, work: Callable[[Bridge], _Result], held: ExitStack) -> _Result:
    """Return what `work` does in a thread; who is cancelled here gives up what it waits for.

    Args:
        pool: of threads.
        work: is given the way back to the event loop.
        held: what the thread uses; closed when it is done with it, which may be later.
    """
    bridge = Bridge()
    try:
        working = pool.submit(work, bridge)
    except BaseException:
        held.close()
        raise
    working.add_done_callback(lambda _: held.close())
    try:
        return await asyncio.wrap_future(working)
    finally:
        bridge.give_up()


class KnownVectors:
    """An `Encoder` of texts whose vectors are there already."""

    def __init__(self, space: EmbeddingSpace, texts: Sequence[str], vectors: Tensor) -> None:
        self.space = space
        self._texts, self._vectors = list(texts), vectors

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return them."""
        assert list(contents) == self._texts, "only what was asked is embedded"
        assert role == "query", "only queries were embedded"
        return self._vectors


class QueuedEncoder:
    """An `Encoder` for a thread that writes: its vectors come through the queue, piece by piece."""

    def __init__(self, bridge: Bridge, work: Work, timing: Timing, served: Served) -> None:
        self.space = served.space
        self._bridge, self._work, self._timing, self._served = bridge, work, timing, served

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return what the model's own `encode` returns.

        Raises:
            Refusal: the queue is full at the first piece; later ones wait for room.
        """
        rows: list[Any] = []
        for start in range(0, len(contents), _TEXTS_AT_ONCE):
            texts = contents[start : start + _TEXTS_AT_ONCE]
            rows += self._bridge(self._piece(texts, role, patient=start > 0))
        return torch.from_numpy(np.stack(rows))

    async def _piece(self, texts: Sequence[str], role: Role, *, patient: bool) -> list[Any]:
        work, timing, served = self._work, self._timing, self._served
        read, tokens, cut = await read_texts(work, timing, served, role, Asked(texts=texts))
        timing.cut_texts += cut
        lane = lane_of(served, role, work.bounds)
        while True:
            try:
                return await work.compute(timing, lane, read, tokens)
            except Refusal as refusal:
                if not patient or refusal.status != 429:
                    raise
                await asyncio.sleep(refusal.retry_seconds or 1)


class QueuedReranker:
    """A `Reranker` for a thread that searches: its scores come through the queue."""

    def __init__(self, bridge: Bridge, work: Work, timing: Timing, reranker: Reranker) -> None:
        self.max_tokens: int | None = getattr(reranker, "max_tokens", None)
        self._bridge, self._work, self._timing, self._reranker = bridge, work, timing, reranker

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score."""
        return self._reranker.fingerprint

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        """Return one logit per document."""
        return self.score_pairs([query], documents, pairs_of_one(len(documents)))

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        """Return one logit per pair; all pairs of a call wait together.

        Raises:
            Refusal: there are too many tokens, the queue is full, or the model failed.
        """
        return self._bridge(self._scored(queries, documents, pairs))

    async def _scored(
        self, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
    ) -> Float[Tensor, " P"]:
        work, timing = self._work, self._timing
        items: list[Pair] = []
        tokens: list[int] = []
        places: list[int] = []
        for place, query in enumerate(queries):
            own = (pairs[:, 0] == place).nonzero()[:, 0].tolist()
            if not own:
                continue
            asked = AskedRanks(
                query=query, documents=[documents[at] for at in pairs[own, 1].tolist()]
            )
            read, lengths, _ = await read_pairs(work, timing, self._reranker, asked)
            items, tokens, places = items + read, tokens + lengths, places + own
        require_tokens(sum(tokens), work.bounds.pair_tokens_per_request)
        lane = pair_lane(self._reranker, work.bounds)
        logits = torch.empty(len(pairs))  # (P,)
        logits[places] = torch.tensor(await work.compute(timing, lane, items, tokens))
        return logits
