"""Agreement, beside slow twins by other means."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from nearfar.teaching.agreement import Ratings, in_order, with_people


def alpha_by_pairs(rows: list[list[float]]) -> float:
    """Krippendorff's definition: disagreement within units over that between any two values."""
    units = [[int(v) for v in row if not math.isnan(v)] for row in rows]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]

    def gap(one: int, other: int) -> float:
        low, high = min(one, other), max(one, other)
        between = sum(low <= v <= high for v in values)
        return (between - (values.count(one) + values.count(other)) / 2) ** 2

    within = sum(
        gap(a, b) / (len(unit) - 1) for unit in units for a, b in itertools.permutations(unit, 2)
    ) / len(values)
    between = sum(gap(a, b) for a, b in itertools.permutations(values, 2))
    return 1 - within / (between / (len(values) * (len(values) - 1)))


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_its_definition(seed: int) -> None:
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, 4, (12, 1))
    rows = np.clip(truth + dice.integers(-1, 2, (12, 3)), 0, 3).astype(float)
    rows[dice.random(rows.shape) < 0.2] = math.nan
    ratings = Ratings(4)
    ratings.add(rows[:5])
    ratings.add(rows[5:])
    assert ratings.alpha == pytest.approx(alpha_by_pairs(rows.tolist()))


def test_agreeing_always_is_one_and_never_otherwise_is_unknown() -> None:
    ratings = Ratings(4)
    assert ratings.share is ratings.alpha is None
    ratings.add(np.array([[2.0, 2.0]]))
    assert (ratings.share, ratings.alpha) == (1.0, None)
    ratings.add(np.array([[0.0, 0.0]]))
    assert (ratings.share, ratings.alpha) == (1.0, 1.0)
    ratings.add(np.array([[0.0, 3.0]]))
    assert ratings.share == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    dice = np.random.default_rng(seed)
    teacher, people = dice.random(60) < 0.6, dice.random(60) < 0.4
    found = with_people(teacher, people)
    assert found.measure == "kappa"
    assert found.number == pytest.approx(cohen_kappa_score(teacher, people))
    ours, theirs = teacher.mean(), people.mean()
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    same = binomtest(int((teacher == people).sum()), 60).proportion_ci(method="exact")
    assert [found.low, found.high] == pytest.approx([(s - chance) / (1 - chance) for s in same])


def test_where_people_said_but_one_thing_the_share_counts() -> None:
    found = with_people(np.array([True, True, False]), np.array([True, True, True]))
    assert found.measure == "share"
    assert found.number == pytest.approx(2 / 3)
    assert "67% of 3 pairs (0.09 to 0.99 with 95% confidence; people said one" in found.sentence()


def test_one_odd_pair_among_a_hundred_makes_no_kappa_of_nothing() -> None:
    teacher, people = np.ones(100, dtype=bool), np.arange(100) > 0
    assert cohen_kappa_score(teacher, people) == 0
    found = with_people(teacher, people)
    assert (found.measure, found.number) == ("share", 0.99)
    assert found.low > 0.9


def test_what_is_too_few_to_tell_is_said() -> None:
    found = with_people(np.arange(12) < 4, np.ones(12, dtype=bool))
    assert found.low < 0.4 < found.high
    assert "too few to tell whether it is above 0.4" in found.sentence(0.4)
    assert "too few" not in found.sentence(0.9)
    assert "too few" not in found.sentence()


def order_by_loops(scores: list[float], people: list[bool], query: list[int]) -> float:
    shares = []
    for asked in set(query):
        rows = [i for i, own in enumerate(query) if own == asked]
        both = [(scores[i], scores[j]) for i in rows if people[i] for j in rows if not people[j]]
        if both:
            shares.append(sum((a > b) + (a == b) / 2 for a, b in both) / len(both))
    return 2 * sum(shares) / len(shares) - 1


@pytest.mark.parametrize("seed", range(5))
def test_order_is_that_of_answers_before_others_whatever_is_added_to_a_query(seed: int) -> None:
    dice = np.random.default_rng(seed)
    scores, people = dice.integers(0, 5, 60).astype(float), dice.random(60) < 0.3
    query = dice.integers(0, 9, 60)
    found = in_order(scores, people, query)
    moved = in_order(scores + 100.0 * query, people, query)
    assert found is not None
    assert found == moved
    want = order_by_loops(scores.tolist(), people.tolist(), query.tolist())
    assert found.number == pytest.approx(want)
    assert -1 <= found.low < found.number < found.high <= 1


def test_no_order_where_no_query_has_both() -> None:
    assert in_order(np.zeros(4), np.arange(4) < 2, np.arange(4)) is None
