"""Rates: a bucket against a plain count of the requests of the past, the clock in hand."""

import random

import pytest

from nearfar.errors import BadSetting
from nearfar.serve.rates import Bucket, Rates


class Hand:
    """A clock that somebody turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_at_once_and_then_at_the_rate() -> None:
    bucket = Bucket.full(60, now=0)
    assert [bucket.take(0) for _ in range(60)] == [0] * 60
    assert bucket.take(0) == pytest.approx(1)
    assert bucket.take(0.5) == pytest.approx(0.5)
    assert bucket.take(1.0) == 0
    assert bucket.take(1.0) > 0


def test_what_it_says_is_when_it_lets_the_next_through() -> None:
    bucket = Bucket.full(7, now=0)
    while not (wait := bucket.take(0)):
        pass
    assert bucket.take(wait - 1e-6) > 0
    assert bucket.take(wait + 1e-6) == 0


def test_no_span_lets_more_through_than_a_full_bucket_and_what_flowed_in() -> None:
    draw, bucket, now = random.Random(3), Bucket.full(30, now=0), 0.0
    let: list[float] = []
    for _ in range(3_000):
        now += draw.expovariate(2.0)
        if bucket.take(now) == 0:
            let.append(now)
    for i, start in enumerate(let):
        for j in range(i, len(let), 97):
            assert j - i + 1 <= 30 + (let[j] - start) * 30 / 60 + 1e-6
    assert len(let) > 0.9 * (30 + now * 30 / 60)  # and not much less than that


def test_a_clock_that_stands_still_or_goes_back_gives_nothing_away() -> None:
    bucket = Bucket.full(2, now=10)
    assert bucket.take(10) == bucket.take(5) == 0
    assert bucket.take(1) > 0


def test_keys_do_not_share_and_a_key_without_a_rate_is_free() -> None:
    rates = Rates(Hand())
    assert rates.take("shop", 1) == 0
    assert rates.take("shop", 1) > 0
    assert rates.take("wiki", 1) == 0
    assert [rates.take("free", None) for _ in range(100)] == [0] * 100


def test_a_rate_that_was_changed_counts_from_then_on() -> None:
    rates = Rates(Hand())
    assert rates.take("shop", 1) == 0
    assert [rates.take("shop", 3) > 0 for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(BadSetting, match="1 or more"):
        Rates(Hand()).take("shop", rate)
