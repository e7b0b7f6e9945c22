"""What training may take as known: no leak is learned, no answer is pushed away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.training.known import Known, settle


def settled(*judgments: tuple[int, int, float, bool]) -> dict[tuple[int, int], float]:
    q, d, g, t = zip(*judgments, strict=True)
    known = settle(np.array(q), np.array(d), np.array(g, dtype=float), np.array(t), rows=10)
    return as_dict(known)


def test_a_teachers_scores_come_from_train_alone_and_of_several_the_mean() -> None:
    queries, documents = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 2, 3])
    grades = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    train = np.array([True, True, False, True, True])
    scores = np.array([2.0, 4.0, 9.0, np.nan, -1.0])
    known = settle(queries, documents, grades, train, rows=10, scores=scores)
    assert known.document.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(known.score, [3.0, np.nan, -1.0])


def as_dict(known: Known) -> dict[tuple[int, int], float]:
    pairs = zip(known.query.tolist(), known.document.tolist(), strict=True)
    return dict(zip(pairs, known.grade.tolist(), strict=True))


def test_a_train_answer_is_learned() -> None:
    assert settled((0, 1, 2.0, True)) == {(0, 1): 2.0}


def test_an_answer_of_another_split_is_neither_learned_nor_pushed_away() -> None:
    assert np.isnan(settled((0, 1, 1.0, False))[0, 1])


def test_an_answer_known_from_train_and_test_is_not_learned() -> None:
    assert np.isnan(settled((0, 1, 1.0, True), (0, 1, 1.0, False))[0, 1])


def test_a_pair_judged_both_ways_is_excluded() -> None:
    assert np.isnan(settled((0, 1, 1.0, True), (0, 1, 0.0, True))[0, 1])
    assert np.isnan(settled((0, 1, 1.0, True), (0, 1, 0.0, False))[0, 1])


def test_of_two_grades_the_higher_counts() -> None:
    assert settled((0, 1, 1.0, True), (0, 1, 3.0, True)) == {(0, 1): 3.0}


def test_a_judged_negative_of_another_split_says_nothing() -> None:
    assert settled((0, 1, 0.0, False), (2, 3, 1.0, True)) == {(2, 3): 1.0}


judgments = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 1.0, 2.0]), st.booleans()
    ),
    min_size=1,
)


@given(judgments)
def test_is_what_a_loop_over_pairs_says(found: list[tuple[int, int, float, bool]]) -> None:
    expected: dict[tuple[int, int], float] = {}
    for pair in {(q, d) for q, d, _, _ in found}:
        own = [(g, t) for q, d, g, t in found if (q, d) == pair]
        grades = [g for g, _ in own]
        if any(g > 0 and not t for g, t in own) or (max(grades) > 0 and min(grades) == 0):
            expected[pair] = float("nan")
        elif any(t for _, t in own):
            expected[pair] = max(g for g, t in own if t)
    assert settled(*found) == pytest.approx(expected, nan_ok=True)


@given(judgments)
def test_each_query_finds_its_pairs_between_its_starts(
    found: list[tuple[int, int, float, bool]],
) -> None:
    q, d, g, t = (np.array(column) for column in zip(*found, strict=True))
    known = settle(q, d, g.astype(float), t, rows=10)
    for row in range(10):
        own = slice(known.starts[row], known.starts[row + 1])
        assert (known.query[own] == row).all()
    assert known.starts[-1] == len(known.query)
