"""Many threads at once keep to the pace and never spend more than the limit."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from llm_server import FakeClock

from nearfar.llm.limits import LimitReached, Pace, Purse

OVER = threading.Event()


def together(work: Callable[[int], None], count: int = 60) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(count)))


def test_no_minute_has_more_requests_than_its_share() -> None:
    clock = FakeClock()
    pace = Pace(20, clock)
    sent: list[float] = []

    def send(_: int) -> None:
        pace.wait_for_turn(OVER)
        sent.append(clock.now())

    together(send)
    sent.sort()
    assert len(sent) == 60
    assert clock.now() >= 59 * 3.0  # one each three seconds


def test_turns_are_evenly_spread() -> None:
    clock = FakeClock()
    pace = Pace(20, clock)
    sent = []
    for _ in range(5):
        pace.wait_for_turn(OVER)
        sent.append(clock.now())
    assert sent == [0, 3, 6, 9, 12]


def test_without_a_rate_nobody_waits() -> None:
    clock = FakeClock()
    pace = Pace(None, clock)
    together(lambda _: pace.wait_for_turn(OVER))
    assert clock.waits == []


def test_a_busy_server_is_left_alone_by_all() -> None:
    clock = FakeClock()
    pace = Pace(None, clock)
    pace.hold(30.0)
    pace.wait_for_turn(OVER)
    assert clock.now() == 30.0


def test_nobody_waits_for_a_turn_once_it_is_over() -> None:
    over = threading.Event()
    over.set()
    clock = FakeClock()
    pace = Pace(1, clock)
    pace.wait_for_turn(over)
    pace.wait_for_turn(over)
    assert clock.waits == []


def test_requests_under_way_never_hold_more_than_the_limit() -> None:
    purse = Purse(3.0)
    inside: list[int] = []
    never = threading.Event()

    def spend(number: int) -> None:
        try:
            with purse.slip(1.0) as slip:
                inside.append(number)
                never.wait(0.05)  # all eight threads would be inside by now
                slip.cost_usd = 1.0
        except LimitReached:
            pass

    together(spend, 8)
    assert len(inside) == 3
    assert purse.spent_usd == 3.0


def test_cheap_answers_leave_room_for_more() -> None:
    purse = Purse(10.0)
    dice = random.Random(0)

    def spend(_: int) -> None:
        try:
            with purse.slip(1.0) as slip:
                slip.cost_usd = dice.uniform(0, 1)
        except LimitReached:
            pass

    together(spend, 200)
    assert 9.0 < purse.spent_usd <= 10.0  # no more than one request's worth is left over


def test_money_that_is_held_comes_back() -> None:
    purse = Purse(1.0)
    for _ in range(100):
        with purse.slip(1.0):
            pass
    assert purse.spent_usd == 0.0


def test_a_request_waits_while_others_hold_the_money() -> None:
    purse = Purse(1.0)
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with purse.slip(1.0):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with purse.slip(1.0):
            waiting = pool.submit(second)
            inside.set()
            order.append("first")
        waiting.result(timeout=5)
    assert order == ["first", "second"]


def test_what_was_spent_before_counts() -> None:
    with pytest.raises(LimitReached), Purse(5.0, spent_usd=4.5).slip(1.0):
        pass
