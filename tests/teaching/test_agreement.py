"""Agreement, beside slow twins by other means."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nearfar.teaching.agreement import Ratings, with_people


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
    teacher, people = dice.random(40) < 0.6, dice.random(40) < 0.4
    found = with_people(teacher, people)
    assert found.kappa == pytest.approx(cohen_kappa_score(teacher, people))
    assert found.number == found.kappa


def test_where_people_said_but_one_thing_the_share_counts() -> None:
    found = with_people(np.array([True, True, False]), np.array([True, True, True]))
    assert found.kappa is None
    assert found.number == pytest.approx(2 / 3)
    assert "67% of 3 pairs (people said but one thing)" in found.sentence()
