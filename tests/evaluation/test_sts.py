"""Correlations are scipy's; what each pair adds is what leaving it out takes away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nearfar.errors import BadRecord
from nearfar.evaluation.intervals import estimate
from nearfar.evaluation.sts import correlations

coarse = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 5)), min_size=3, max_size=60)


@settings(max_examples=80, deadline=None)
@given(coarse)
def test_the_mean_of_what_pairs_add_is_scipys_correlation(found: list[tuple[int, int]]) -> None:
    cosines, grades = np.array(found, dtype=np.float64).T / 7
    if grades.min() == grades.max() or cosines.min() == cosines.max():
        return
    ours = correlations(cosines, grades)
    assert ours.spearman.mean() == pytest.approx(stats.spearmanr(cosines, grades)[0], abs=1e-9)
    assert ours.pearson.mean() == pytest.approx(stats.pearsonr(cosines, grades)[0], abs=1e-9)


@pytest.mark.parametrize("kind", ["spearman", "pearson"])
def test_what_a_pair_adds_is_what_leaving_it_out_takes_away(kind: str) -> None:
    dice = np.random.default_rng(0)
    grades = dice.integers(0, 6, 400) / 5  # many ties
    cosines = grades + dice.normal(0, 0.4, 400)
    added = getattr(correlations(cosines, grades), kind)
    scipys = stats.spearmanr if kind == "spearman" else stats.pearsonr
    whole = scipys(cosines, grades)[0]
    for row in range(0, 400, 13):
        left = scipys(np.delete(cosines, row), np.delete(grades, row))[0]
        assert added[row] - whole == pytest.approx(399 * (whole - left), abs=0.03)


def test_the_interval_holds_the_truth_about_95_times_of_100() -> None:
    dice = np.random.default_rng(1)
    held = {"spearman": 0, "pearson": 0}
    truth = {"spearman": 6 / np.pi * np.arcsin(0.8 / 2), "pearson": 0.8}
    for _ in range(300):
        one, noise = dice.normal(size=(2, 200))
        other = 0.8 * one + 0.6 * noise
        found = correlations(other, one)
        for kind in held:
            sure = estimate(getattr(found, kind), [str(i) for i in range(200)], span=(-1, 1))
            assert sure.low is not None
            assert sure.high is not None
            held[kind] += sure.low <= truth[kind] <= sure.high
    assert all(270 <= count <= 298 for count in held.values()), held


def test_a_space_where_all_is_one_place_follows_no_grade() -> None:
    found = correlations(np.ones(5), np.arange(5.0))
    assert found.spearman.tolist() == found.pearson.tolist() == [0.0] * 5


def test_one_grade_for_all_is_refused() -> None:
    with pytest.raises(BadRecord, match="grades that differ, found 4 with one grade"):
        correlations(np.arange(4.0), np.ones(4))
    with pytest.raises(ValueError, match="need as many grades"):
        correlations(np.arange(4.0), np.array([0, 1, np.nan, 1]))
