"""The queue: each request gets its own, in batches of like length, and nobody is crowded out."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.serve.queue import Batch, Closed, Full, Queue
from nearfar.serve.queue_waiting import Lane

_SECONDS = 20  # after which a test fails instead of hanging
Texts = Sequence[str]


class Slow:
    """Computes texts one second each, by a clock of its own, and only while it may."""

    def __init__(self) -> None:
        self.now = 0.0
        self.batches: list[list[str]] = []
        self.may = threading.Event()
        self.may.set()
        self.began = threading.Event()

    def clock(self) -> float:
        return self.now

    def compute(self, texts: Texts) -> list[str]:
        self.began.set()
        assert self.may.wait(_SECONDS)
        if any("bad" in text for text in texts):
            raise ValueError("a bad text")
        self.batches.append(list(texts))
        self.now += len(texts)
        return [text.upper() for text in texts]

    def lane(self, tokens_per_batch: int = 8) -> Lane[str, str]:
        return Lane("upper", self.compute, tokens_per_batch)

    def hold(self) -> None:
        self.may.clear()
        self.began.clear()

    async def holds(self) -> None:
        """Wait until a batch is under way."""
        assert await asyncio.to_thread(self.began.wait, _SECONDS)


def in_queue(
    test: Callable[[Queue], Awaitable[Any]],
    *,
    waiting_tokens: int = 1_000,
    clock: Callable[[], float] = lambda: 0.0,
    told: Callable[[Batch], None] = lambda batch: None,
) -> Any:
    """Run a test beside a queue that computes."""

    async def run() -> Any:
        queue = Queue(waiting_tokens=waiting_tokens, clock=clock, told=told)
        queue.start()
        async with asyncio.timeout(_SECONDS):
            try:
                return await test(queue)
            finally:
                await queue.drain()

    return asyncio.run(run())


def lengths(texts: Texts) -> list[int]:
    return [len(text) for text in texts]


async def ask(queue: Queue, lane: Lane[str, str], texts: Texts) -> list[str]:
    return (await queue.compute(lane, texts, lengths(texts))).results


texts = st.lists(st.text("abc", min_size=1, max_size=12), max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, st.integers(0, 1), st.integers(0, 3)), max_size=8))
def test_each_request_gets_its_own_whatever_comes_in_what_order(
    requests: list[tuple[list[str], int, int]],
) -> None:
    lanes = [
        Lane[str, str]("upper", lambda some: [text.upper() for text in some], 16),
        Lane[str, str]("twice", lambda some: [2 * text for text in some], 5),
    ]

    async def late(queue: Queue, some: Texts, lane: int, turns: int) -> list[str]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await ask(queue, lanes[lane], some)

    async def test(queue: Queue) -> None:
        found = await asyncio.gather(*(late(queue, *request) for request in requests))
        for (some, lane, _), results in zip(requests, found, strict=True):
            assert results == lanes[lane].compute(some)
        assert queue.waiting_items == queue.waiting_tokens == 0

    in_queue(test)


def test_requests_that_wait_together_are_computed_together() -> None:
    slow, told = Slow(), list[Batch]()

    async def test(queue: Queue) -> None:
        slow.hold()
        first = asyncio.create_task(ask(queue, slow.lane(), ["a"]))
        await slow.holds()
        others = [asyncio.create_task(ask(queue, slow.lane(), [text])) for text in ("bb", "cc")]
        await asyncio.sleep(0)
        slow.may.set()
        assert [await task for task in (first, *others)] == [["A"], ["BB"], ["CC"]]

    in_queue(test, told=told.append)
    assert slow.batches == [["a"], ["bb", "cc"]]
    assert [(b.items, b.tokens, b.padded_tokens) for b in told] == [(1, 1, 1), (2, 4, 4)]


def test_times_are_those_of_the_clock() -> None:
    slow = Slow()

    async def test(queue: Queue) -> None:
        slow.hold()
        first = asyncio.create_task(queue.compute(slow.lane(2), ["aa", "bb", "dd"], [2] * 3))
        await slow.holds()
        second = asyncio.create_task(queue.compute(slow.lane(2), ["cc"], [2]))
        await asyncio.sleep(0)
        slow.may.set()
        one, two = await first, await second
        assert (one.queue_seconds, one.compute_seconds) == (1.0, 3.0)  # the other's in between
        assert (two.queue_seconds, two.compute_seconds) == (2.0, 1.0)

    in_queue(test, clock=slow.clock)
    assert slow.batches == [["aa"], ["bb"], ["cc"], ["dd"]]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    slow = Slow()

    async def test(queue: Queue) -> None:
        await ask(queue, slow.lane(1), ["a", "b"])  # so that its speed is known: a token a second
        slow.hold()
        first = asyncio.create_task(ask(queue, slow.lane(), ["a"]))
        await slow.holds()
        waits = asyncio.create_task(ask(queue, slow.lane(), ["1234567"]))
        await asyncio.sleep(0)
        with pytest.raises(Full) as full:
            await ask(queue, slow.lane(), ["1234"])
        assert full.value.retry_seconds == 7
        fits = asyncio.create_task(ask(queue, slow.lane(), ["123"]))
        await asyncio.sleep(0)
        slow.may.set()
        assert [await task for task in (first, waits, fits)] == [["A"], ["1234567"], ["123"]]

    in_queue(test, waiting_tokens=10, clock=slow.clock)


def test_a_request_larger_than_the_queue_is_taken_when_nothing_else_waits() -> None:
    slow = Slow()
    many = ["abc"] * 30
    found = in_queue(lambda queue: ask(queue, slow.lane(), many), waiting_tokens=10)
    assert found == ["ABC"] * 30
    assert [len(batch) for batch in slow.batches] == [2] * 15


def test_who_leaves_frees_its_place_and_is_not_computed() -> None:
    slow = Slow()

    async def test(queue: Queue) -> None:
        slow.hold()
        first = asyncio.create_task(ask(queue, slow.lane(), ["a"]))
        await slow.holds()
        leaves = asyncio.create_task(ask(queue, slow.lane(), ["123456789", "x"]))
        await asyncio.sleep(0)
        assert (queue.waiting_items, queue.waiting_tokens) == (2, 10)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        assert (queue.waiting_items, queue.waiting_tokens) == (0, 0)
        stays = asyncio.create_task(ask(queue, slow.lane(), ["987654321"]))
        await asyncio.sleep(0)
        slow.may.set()
        assert [await task for task in (first, stays)] == [["A"], ["987654321"]]

    in_queue(test, waiting_tokens=10)
    assert slow.batches == [["a"], ["987654321"]]


def test_nothing_is_kept_of_those_who_left() -> None:
    class Text(str):
        pass

    slow = Slow()

    async def test(queue: Queue) -> None:
        slow.hold()
        first = asyncio.create_task(ask(queue, slow.lane(), ["a"]))
        await slow.holds()
        stays = asyncio.create_task(ask(queue, slow.lane(), ["b"]))
        left = []
        for _ in range(50):
            text = Text("x" * 5)
            left.append(weakref.ref(text))
            leaves = asyncio.create_task(queue.compute(slow.lane(), [text], [5]))
            await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.gather(leaves, return_exceptions=True)
        del text, leaves
        await asyncio.sleep(0)
        gc.collect()
        kept = sum(reference() is not None for reference in left)
        slow.may.set()
        await asyncio.gather(first, stays)
        assert not kept

    in_queue(test)


def test_one_bad_text_fails_its_own_request_alone() -> None:
    slow = Slow()

    async def test(queue: Queue) -> None:
        asked = (["a", "b"], ["c", "bad", "d"], ["e"])
        found = await asyncio.gather(
            *(ask(queue, slow.lane(100), some) for some in asked), return_exceptions=True
        )
        assert found[0] == ["A", "B"]
        assert isinstance(found[1], ValueError)
        assert found[2] == ["E"]
        assert queue.waiting_items == 0
        assert await ask(queue, slow.lane(), ["f"]) == ["F"]

    in_queue(test)


def test_a_model_that_loses_a_result_is_caught() -> None:
    async def test(queue: Queue) -> None:
        with pytest.raises(RuntimeError, match="1 items were computed to 0 results"):
            await ask(queue, Lane("lossy", lambda some: [], 8), ["a", "b"])

    in_queue(test)


def test_draining_computes_what_waits_and_takes_no_more() -> None:
    slow = Slow()

    async def test(queue: Queue) -> None:
        slow.hold()
        asked = [asyncio.create_task(ask(queue, slow.lane(1), [text])) for text in "abc"]
        await slow.holds()
        draining = asyncio.create_task(queue.drain())
        await asyncio.sleep(0)
        with pytest.raises(Closed):
            await ask(queue, slow.lane(), ["late"])
        slow.may.set()
        await draining
        assert [await task for task in asked] == [["A"], ["B"], ["C"]]

    in_queue(test)


def test_nobody_waits_for_a_worker_that_is_gone() -> None:
    def told(batch: Batch) -> None:
        raise KeyError("a mistake of ours")

    async def run() -> None:
        queue = Queue(waiting_tokens=100, told=told)
        queue.start()
        slow = Slow()
        async with asyncio.timeout(_SECONDS):
            asked = [ask(queue, slow.lane(1), [text]) for text in "ab"]
            found = await asyncio.gather(*asked, return_exceptions=True)
            with pytest.raises(KeyError):
                await queue.drain()
        assert isinstance(found[1], Closed)
        assert not queue.is_open

    asyncio.run(run())
