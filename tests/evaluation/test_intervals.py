"""A 95 % interval holds the truth 95 times of 100, also where that is hard."""

import numpy as np
import pytest
from scipy import stats

from nearfar.evaluation.intervals import Estimate, estimate, lower_bound, p_below

SPAN = (-1.0, 1.0)


def test_queries_of_one_cluster_count_as_one_witness() -> None:
    dice = np.random.default_rng(0)
    names = np.repeat([f"c{i}" for i in range(30)], np.arange(30) % 9 + 2)
    _, member = np.unique(names, return_inverse=True)
    held, held_naively = [], []
    for _ in range(400):
        effect = dice.normal(0, 0.15, 30)
        values = (effect[member] + dice.normal(0, 0.1, len(member))).clip(*SPAN)
        found = estimate(values, names, span=SPAN)
        alone = estimate(values, [str(i) for i in range(len(values))], span=SPAN)
        held.append(found.low <= 0 <= found.high)  # type: ignore[operator]
        held_naively.append(alone.low <= 0 <= alone.high)  # type: ignore[operator]
    assert np.mean(held) >= 0.92
    assert np.mean(held_naively) < 0.85  # so that the test can fail


@pytest.mark.parametrize(("n", "share"), [(20, 0.05), (50, 0.02), (100, 0.01)])
def test_rare_failures_that_were_not_seen_are_not_ruled_out(n: int, share: float) -> None:
    """Some queries fall from 1 to 0: does the lower bound lie below the true mean?"""
    dice = np.random.default_rng(1)
    ids = [str(i) for i in range(n)]
    held, held_naively = [], []
    for _ in range(400):
        values = -(dice.random(n) < share).astype(float)
        found = estimate(values, ids, span=SPAN)
        held.append(found.low <= -share)  # type: ignore[operator]
        half = stats.t.ppf(0.95, n - 1) * values.std(ddof=1) / np.sqrt(n)
        held_naively.append(values.mean() - half <= -share)
    assert np.mean(held) >= 0.95
    assert np.mean(held_naively) < 0.7  # so that the test can fail


def test_of_failures_it_is_the_bound_of_clopper_and_pearson() -> None:
    for n in (20, 50, 300):
        for fallen in (0, 1, 5):
            values = [-1.0] * fallen + [0.0] * (n - fallen)
            found = lower_bound(values, np.arange(n), least=-1)
            exact = -stats.beta.ppf(0.95, fallen + 1, n - fallen)
            assert found == pytest.approx(exact, rel=0.01)
            assert found < exact  # never on the side that promises more


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_bound_is_a_quantile_of_randomly_weighted_means(confidence: float) -> None:
    dice = np.random.default_rng(5)
    values = dice.normal(0.1, 0.3, 40).clip(*SPAN)
    clusters = dice.integers(0, 15, 40)
    sums = np.array([values[clusters == c].sum() for c in np.unique(clusters)])
    sizes = np.array([(clusters == c).sum() for c in np.unique(clusters)])
    sums, sizes = np.append(sums, -sizes.mean()), np.append(sizes, sizes.mean())
    weights = dice.exponential(size=(400_000, len(sums)))
    means = (weights @ sums) / (weights @ sizes)
    found = lower_bound(values, clusters, least=-1, confidence=confidence)
    assert np.mean(means <= found) == pytest.approx(1 - confidence, rel=0.06)


def test_the_test_and_the_bound_agree() -> None:
    dice = np.random.default_rng(6)
    values, clusters = dice.random(60), dice.integers(0, 25, 60)
    bound = -lower_bound(-values, clusters, least=-1, confidence=0.97)
    assert p_below(values, clusters, at=bound, most=1) == pytest.approx(0.03, rel=1e-5)
    assert p_below(values, clusters, at=1, most=1) == 0
    assert p_below(values, clusters, at=0, most=1) == 1


def test_with_many_queries_it_is_hardly_wider_than_students_interval() -> None:
    values = np.random.default_rng(2).normal(0, 0.2, 20_000).clip(*SPAN)
    found = estimate(values, np.arange(20_000), span=SPAN)
    low, high = stats.t.interval(0.95, 19_999, values.mean(), stats.sem(values))
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
    assert (found.n, found.clusters) == (20_000, 20_000)


def test_too_little_to_say_says_nothing() -> None:
    few = estimate([0.5] * 19, [str(i) for i in range(19)], span=(0, 1))
    assert few == Estimate(0.5, None, None, 19, 19)
    together = estimate([0.25, 0.75] * 50, ["one"] * 100, span=(0, 1))
    assert together == Estimate(0.5, None, None, 100, 1)
    assert not few.above_zero
    assert not few.below_zero


def test_the_interval_holds_the_mean_and_stays_in_the_span() -> None:
    for values in (
        [1.0] * 25,
        [0.0] * 24 + [1.0],
        *([k / 10] * n for k in range(10) for n in (60, 99)),
    ):
        found = estimate(values, [str(i) for i in range(len(values))], span=(0, 1))
        assert 0 <= found.low <= found.mean <= found.high <= 1  # type: ignore[operator]


def test_the_order_of_queries_does_not_matter() -> None:
    values, names = np.linspace(0, 1, 60), [f"c{i % 7}" for i in range(60)]
    turned = estimate(values[::-1], names[::-1], span=(0, 1))
    found = estimate(values, names, span=(0, 1))
    assert (turned.low, turned.high) == (pytest.approx(found.low), pytest.approx(found.high))


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [float("inf")]])
def test_what_is_no_number_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected at least one value and only numbers"):
        estimate(values, ["a"] * len(values), span=(0, 1))


def test_clusters_of_very_different_size_are_not_overrated() -> None:
    """One cluster holds 3 of 10 queries: the textbook's correction covers .86 only."""
    dice = np.random.default_rng(3)
    sizes = np.array([1] * 10 + [5] * 8 + [40] * 4 + [100])
    member = np.repeat(np.arange(23), sizes)
    names = [f"c{i}" for i in member]
    held, held_by_textbook = [], []
    for _ in range(800):
        values = dice.normal(0, 0.15, 23)[member] + dice.normal(0, 0.1, len(member))
        found = estimate(values, names, span=SPAN)
        held.append(found.low <= 0 <= found.high)  # type: ignore[operator]
        sums = np.bincount(member, weights=values - values.mean())
        half = stats.t.ppf(0.975, 22) * np.sqrt(23 / 22 * (sums**2).sum()) / len(member)
        held_by_textbook.append(abs(values.mean()) <= half)
    assert np.mean(held) >= 0.89
    assert np.mean(held_by_textbook) < 0.87  # so that the test can fail


def test_a_rare_failure_of_a_whole_cluster_is_not_ruled_out() -> None:
    """Ten articles of four queries; one article in ten falls, and all of it."""
    dice = np.random.default_rng(4)
    names = [f"c{i // 4}" for i in range(40)]
    held = []
    for _ in range(300):
        values = -np.repeat(dice.random(10) < 0.1, 4).astype(float)
        held.append(estimate(values, names, span=SPAN).low <= -0.1)  # type: ignore[operator]
    assert np.mean(held) >= 0.92  # .65 where the invented observations are single queries


def test_few_queries_are_never_sure_of_no_difference() -> None:
    found = estimate([0.0] * 50, [str(i) for i in range(50)], span=SPAN)
    assert found.mean == 0
    assert found.low == pytest.approx(-found.high)  # type: ignore[operator]
    assert 0.02 < found.high < 0.1  # type: ignore[operator]


def test_a_cluster_may_be_renamed() -> None:
    values = np.linspace(-1, 1, 60) ** 3
    one = estimate(values, [f"c{i % 7}" for i in range(60)], span=SPAN)
    other = estimate(values, [f"{6 - i % 7}th" for i in range(60)], span=SPAN)
    assert (one.low, one.high) == (pytest.approx(other.low), pytest.approx(other.high))
