"""Strengths from comparisons, beside what scipy finds by climbing the likelihood itself."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from nearfar.teaching.bradley_terry import elo, random_cycles, strengths


def likelihood(s: np.ndarray, games: np.ndarray, results: np.ndarray, prior: float) -> float:
    """The formula of the docstring, by loops."""

    def beats(one: float, other: float) -> float:
        return -math.log1p(math.exp(other - one))

    total = sum(prior * (beats(own, 0.0) + beats(0.0, own)) for own in s)
    for (i, j), result in zip(games.tolist(), results.tolist(), strict=True):
        total += result * beats(s[i], s[j]) + (1 - result) * beats(s[j], s[i])
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("prior", [0.5, 2.0])
def test_it_finds_what_climbing_the_likelihood_finds(seed: int, prior: float) -> None:
    dice = np.random.default_rng(seed)
    games = np.array([dice.permutation(6)[:2] for _ in range(15)])
    results = dice.choice([0.0, 0.5, 1.0], len(games))
    found = strengths(games, results, 6, prior_wins=prior)
    best = minimize(lambda s: -likelihood(s, games, results, prior), np.zeros(6), tol=1e-12)
    assert found == pytest.approx(best.x, abs=1e-4)
    assert likelihood(found, games, results, prior) >= -best.fun - 1e-9


def test_one_that_never_lost_stays_finite_and_two_that_never_met_have_one_scale() -> None:
    games = np.array([(0, 1), (0, 1), (2, 3)])
    found = strengths(games, np.array([1.0, 1.0, 0.5]), 5)
    assert found[0] > 0
    assert found[0] == pytest.approx(-found[1])
    assert found[2:].tolist() == pytest.approx([0, 0, 0])


def test_known_strengths_come_back_from_many_games() -> None:
    dice = np.random.default_rng(0)
    truth = np.array([-1.0, -0.3, 0.0, 0.5, 1.2])
    games = np.concatenate([random_cycles(5, 3, dice) for _ in range(800)])
    chance = 1 / (1 + np.exp(truth[games[:, 1]] - truth[games[:, 0]]))
    found = strengths(games, (dice.random(len(games)) < chance).astype(float), 5)
    assert found - found.mean() == pytest.approx(truth - truth.mean(), abs=0.12)


def test_elo_is_a_chance_of_ten_to_one_for_400() -> None:
    assert [elo(0.0), elo(math.log(10)), elo(-math.log(10))] == pytest.approx([1_500, 1_900, 1_100])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 25])
def test_cycles_join_everyone_with_few_comparisons(count: int) -> None:
    pairs = random_cycles(count, 2, np.random.default_rng(1))
    assert all(i < j < count for i, j in pairs.tolist())
    assert len(pairs) == len(set(map(tuple, pairs.tolist()))) <= 2 * max(count, 1)
    joined = {0}
    for _ in range(count):
        joined |= {k for i, j in pairs.tolist() if {i, j} & joined for k in (i, j)}
    assert joined >= set(range(count))
    if count <= 5:  # each could meet all others: each does
        assert len(pairs) == count * (count - 1) / 2


@pytest.mark.parametrize("game", [(0, 0), (0, 3), (-1, 0)])
def test_games_that_cannot_be_are_a_callers_slip(game: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="3 documents"):
        strengths(np.array([game]), np.array([1.0]), 3)
