"""Strengths of documents from who beat whom: a Bradley-Terry fit, and which pairs to compare.

Shapes: N documents, G games.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ENOUGH = 1e-9  # change of a log-strength in one round
_ROUNDS = 10_000  # a handful is enough as a rule, and a few hundred for long thin graphs


def strengths(games: Ints, results: Floats, count: int, *, prior_wins: float = 0.5) -> Floats:
    """Return the log-strength s of each document: i beats j with chance p_ij.

        p_ij = 1 / (1 + exp(s_j - s_i))

    What is maximised, over all s, is

        sum over games (i, j, r) of  r log p_ij + (1 - r) log p_ji
        + prior_wins * sum over i of  log p_i0 + log p_0i

    where 0 is an average document of strength 0 that each has won against so often, and lost to:
    so what never lost stays finite, and the strengths of games that never met have one scale. By
    rounds of  e^s_i <- wins of i / sum over the games of i of 1 / (e^s_i + e^s_j), each of which
    brings it up.

    Args:
        games: (G, 2) who met, i and j from 0 to count - 1.
        results: (G,) what i took of the game: 1 a win, 0 a loss, a half a tie.
        count: N.
        prior_wins: half games against the average document, above 0.

    Returns:
        (N,) natural logarithms. One with no game is 0.

    Raises:
        ValueError: a document meets itself or is not there, or a result is not 0 to 1.

    Source: Hunter 2004, doi:10.1214/aos/1079120141, eq. 3 (the MM algorithm), with a ghost player
        as prior.
    """
    if len(games) and (
        games.min() < 0 or games.max() >= count or (games[:, 0] == games[:, 1]).any()
    ):
        raise ValueError(f"games must join two different ones of {count} documents.")
    if not ((results >= 0) & (results <= 1)).all() or not prior_wins > 0:
        raise ValueError("results must be 0 to 1, and prior_wins above 0.")
    first, second = games[:, 0], games[:, 1]
    wins = np.full(count, prior_wins)
    np.add.at(wins, first, results)
    np.add.at(wins, second, 1 - results)
    strength = np.ones(count)
    for _ in range(_ROUNDS):
        share = 1 / (strength[first] + strength[second])
        met = 2 * prior_wins / (strength + 1)
        np.add.at(met, first, share)
        np.add.at(met, second, share)
        new = wins / met
        moved = np.abs(np.log(new / strength)).max(initial=0.0)
        strength = new
        if moved < _ENOUGH:
            break
    found: Floats = np.log(strength)
    return found


def elo(strength: float, *, average: float = 1_500.0) -> float:
    """Return a log-strength on the scale of chess, where 400 more are odds of ten to one.

    >>> elo(0.0), elo(math.log(10))
    (1500.0, 1900.0)
    """
    return average + 400 / math.log(10) * strength


def random_cycles(count: int, cycles: int, dice: np.random.Generator) -> Ints:
    """Return which pairs of documents to compare: those side by side on some random round trips.

    Each document meets up to 2 * cycles others, and every document is joined with every other by
    some chain: about count * cycles comparisons instead of count * (count - 1) / 2. Where there
    are so few that each could meet all others, each does.

    Args:
        count: documents, 0 or more.
        cycles: round trips, 1 or more.
        dice: draws the round trips.

    Returns:
        (G, 2) pairs i < j, each once, in order.

    Source: sparse graphs of random cycles as in Pipitone et al. 2025, arXiv:2509.12541 (zELO),
        where a Thurstone or Bradley-Terry fit on them becomes the target of a reranker.
    """
    if count - 1 <= 2 * cycles:
        return np.stack(np.triu_indices(count, 1), axis=1)
    pairs: set[tuple[int, int]] = set()
    for _ in range(cycles):
        order = dice.permutation(count).tolist()
        pairs.update(
            (min(i, j), max(i, j)) for i, j in zip(order, order[1:] + order[:1], strict=True)
        )
    return np.array(sorted(pairs), dtype=np.int64)
