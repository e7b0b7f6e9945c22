"""Health: red when a model cannot compute or an index cannot answer, green under load."""

import asyncio
import threading
from typing import Any

import pytest
import torch
from doubles import LetterEncoder
from letter_reranker import LetterReranker
from running import Lines
from starlette.testclient import TestClient

from nearfar.serve.app import create_app
from nearfar.serve.health import Health, health_router
from nearfar.serve.queue import Queue
from nearfar.serve.queue_waiting import Lane
from nearfar.serve.served import Offer, Served, ServedReranker, Serving


class Hand:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Sick(LetterEncoder):
    """Breaks, and mends, at a word."""

    how = "well"
    calls = 0

    def encode(self, contents: Any, role: Any, **more: Any) -> Any:
        type(self).calls += 1
        if self.how == "raises":
            raise RuntimeError("out of memory")
        found = super().encode(contents, role)
        if self.how == "nan":
            return found * torch.nan
        return found[:0] if self.how == "none" else found


@pytest.fixture
def sick() -> Sick:
    Sick.how, Sick.calls = "well", 0
    return Sick()


def world(encoder: Any, **more: Any) -> tuple[TestClient, Health, Lines, Hand]:
    lines, clock = Lines(), Hand()
    offer = Offer.of([Served(name="shop", encoder=encoder)],
                     [ServedReranker(name="best", reranker=LetterReranker())])  # fmt: skip
    serving = Serving(offer)
    health = Health(serving, lambda: app.state.queue, lines.log, clock=clock, **more)
    app = create_app(serving, routers=[health_router(health)],
                     told=lambda batch: health.batch())  # fmt: skip
    return TestClient(app), health, lines, clock


def test_ready_says_every_part(sick: Sick) -> None:
    client, *_ = world(sick, indexes={"faq": lambda: None})
    with client:
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True, "draining": False,
        "parts": {"model shop": "ok", "reranker best": "ok", "index faq": "ok"},
    }  # fmt: skip


@pytest.mark.parametrize("how", ["raises", "nan", "none"])
def test_a_model_that_was_loaded_but_does_not_compute_is_not_ready(sick: Sick, how: str) -> None:
    client, _, lines, clock = world(sick)
    with client:
        assert client.get("/readyz").status_code == 200
        Sick.how = how
        clock.now += 5
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"] == {"model shop": "failed", "reranker best": "ok"}
        assert client.get("/livez").status_code == 200  # a restart may not help, others may
        Sick.how = "well"
        clock.now += 5
        assert client.get("/readyz").status_code == 200
    states = [row["state"] for row in lines.of("health")]
    assert states[0] == "failed"
    assert states[-1] == "ok"


def test_reasons_are_for_the_log_not_for_whoever_asks(sick: Sick) -> None:
    client, _, lines, _ = world(sick)
    Sick.how = "raises"
    with client:
        assert "memory" not in client.get("/readyz").text
    assert "out of memory" in lines.text


def test_what_was_seen_is_believed_for_some_seconds(sick: Sick) -> None:
    client, _, _, clock = world(sick, fresh_seconds=5.0)
    with client:
        for _ in range(10):
            client.get("/readyz")
        assert Sick.calls == 1
        clock.now += 5
        client.get("/readyz")
        assert Sick.calls == 2


def test_an_index_that_does_not_answer_is_not_ready() -> None:
    def gone() -> None:
        raise OSError("the disk is gone")

    client, *_ = world(LetterEncoder(), indexes={"faq": gone})
    with client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["index faq"] == "failed"


def test_a_thread_that_hangs_is_late() -> None:
    held = threading.Event()

    class Hanging(LetterEncoder):
        def encode(self, contents: Any, role: Any, **more: Any) -> Any:
            held.wait(20)
            return super().encode(contents, role)

    client, *_ = world(Hanging(), deadline_seconds=0.1)
    with client:
        answer = client.get("/readyz")
        held.set()
    assert answer.status_code == 503
    assert answer.json()["parts"]["model shop"] == "late"


def test_a_server_that_is_asked_to_end_is_not_ready(sick: Sick) -> None:
    client, health, *_ = world(sick)
    with client:
        health.draining = True
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "draining": True, "parts": {}}


def test_much_to_do_is_no_illness_while_batches_end() -> None:
    """The queue is full; what was computed lately, or long ago, says which it is."""

    async def walk() -> list[dict[str, str]]:
        clock, held = Hand(), threading.Event()
        serving = Serving(Offer.of([Served(name="shop", encoder=LetterEncoder())]))
        health = Health(serving, lambda: queue, Lines().log, clock=clock, deadline_seconds=10.0)
        queue = Queue(waiting_tokens=1, told=lambda batch: health.batch())
        queue.start()
        await queue.compute(Lane("quick", lambda items: items, 1), [0], [1])
        slow = Lane("slow", lambda items: [held.wait(20) for _ in items], 1)
        others = asyncio.create_task(queue.compute(slow, [0] * 8, [1] * 8))
        while not queue.waiting_items:
            await asyncio.sleep(0)
        found = []
        for clock.now in (9.0, 100.0):
            found.append(dict(await health.parts()))
        held.set()
        await others
        await queue.drain()
        return found

    assert asyncio.run(walk()) == [{"model shop": "ok"}, {"model shop": "late"}]


def test_many_who_ask_at_once_share_one_look(sick: Sick) -> None:
    async def walk() -> None:
        serving = Serving(Offer.of([Served(name="shop", encoder=sick)]))
        queue = Queue(waiting_tokens=100)
        health = Health(serving, lambda: queue, Lines().log, clock=Hand())
        queue.start()
        await asyncio.gather(*(health.parts() for _ in range(20)))
        await queue.drain()

    asyncio.run(walk())
    assert Sick.calls == 1
