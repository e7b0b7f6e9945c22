"""How likely a result is looked at, by its rank: from the log itself, or by a power law."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from nearfar.data.clicks.counts import Cells
from nearfar.data.clicks.spool import DEEPEST
from nearfar.errors import BadSetting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDS = 5_000
_TOLERANCE = 1e-6  # of the largest change of a propensity, relative
_LEAST_CLICKS = 20  # of a rank, on pairs seen at several ranks: fewer say nothing


@dataclass(frozen=True)
class Propensities:
    """p(rank), relative to the rank that is looked at most, which has 1."""

    by_rank: Floats  # (DEEPEST + 1,); the place 0 is not used
    estimated: tuple[int, ...]  # the ranks that the log speaks of; the rest took their neighbour's
    rounds: int = 0


def power_propensities(eta: float) -> Propensities:
    """Return p(rank) = rank ** -eta.

    Source: Joachims, Swaminathan and Schnabel 2017, arXiv:1608.04468, sec. 6.
    """
    ranks = np.arange(DEEPEST + 1, dtype=np.float64)
    ranks[0] = 1
    return Propensities(ranks**-eta, ())


def estimated_propensities(cells: Cells) -> Propensities:
    """Return how likely each rank is examined, from pairs that the log shows at several ranks.

    The position-based model says that a result is clicked if it is examined, which depends on
    its rank k alone, and attracts, which depends on the pair i of query and document alone:

        E[ c_ik ] = n_ik p_k r_i        n_ik impressions, c_ik clicks of pair i at rank k

    Given how often a pair was clicked at all, C_i, how its clicks spread over its ranks does
    not depend on r_i any more. So p maximises

        sum over i, k of  c_ik log( n_ik p_k / sum_j n_ij p_j )

    and is found by repeating, which never lowers that sum (a minorise-maximise step),

        p_k  <-  sum_i c_ik / sum_i( C_i n_ik / sum_j n_ij p_j )

    No model of relevance and no randomised traffic is needed, and no number of pairs with few
    impressions each biases p: this likelihood is that of Poisson counts with a free effect of
    each pair, which needs only the mean above to be right. What it does need is that ranks
    vary for reasons other than the clicks themselves. Pairs shown at one rank alone say nothing.
    Ranks with fewer than 20 clicks on such pairs, or that no chain of pairs links to the rest,
    take the value of the next estimated rank above them, or of the first one.

    Raises:
        BadSetting: fewer than two ranks are linked: the log cannot tell rank from relevance.

    Source: position-based model: Craswell et al. 2008, doi:10.1145/1341531.1341545. Estimation
        from natural changes of rank, by a likelihood of propensities alone: Aslanyan and
        Porwal 2019, arXiv:1812.09338; kin to intervention harvesting, Agarwal et al. 2019,
        arXiv:1812.05161. The step: Hunter 2004, doi:10.1214/aos/1079120141. That the mean
        alone must be right: Wooldridge 1999, doi:10.1016/S0304-4076(98)00033-5. We leave out
        their smoothing over ranks.
    """
    several, used = _comparable(cells)
    if len(used) < 2:
        raise BadSetting(
            "propensity = 'estimated' learns from documents that one query showed at several "
            f"ranks, and clicked there: at least two ranks with {_LEAST_CLICKS} such clicks each. "
            f"Found {len(used)}. Give a longer log, or use propensity = 'power' with a known eta."
        )
    place = np.searchsorted(used, cells.rank[several])
    _, pair = np.unique(cells.pair[several], return_inverse=True)
    found, rounds = _maximised(pair, place, cells.impressions[several], cells.clicks[several])
    return Propensities(_spread(used, found), tuple(int(rank) for rank in used), rounds)


def _comparable(cells: Cells) -> tuple[Bools, Ints]:
    """Return the cells that tell ranks apart, and the ranks that they tell apart."""
    used = np.arange(DEEPEST + 1)
    while True:  # a rank that goes may leave a pair with one rank alone, which then goes too
        several = _at_several_ranks(cells, np.isin(cells.rank, used))
        linked = _linked(cells, several)
        if len(linked) == len(used) or not len(linked):
            return several, linked
        used = linked


def _at_several_ranks(cells: Cells, usable: Bools) -> Bools:
    """Return the usable cells of pairs that have two of them or more, and a click."""
    pairs = len(cells.first)
    ranks = np.bincount(cells.pair[usable], minlength=pairs)
    clicks = np.bincount(cells.pair[usable], cells.clicks[usable], minlength=pairs)
    several: Bools = usable & ((ranks > 1) & (clicks > 0))[cells.pair]
    return several


def _linked(cells: Cells, several: Bools) -> Ints:
    """Return the largest set of ranks, each with enough clicks, that can be compared.

    A click at k on a pair also shown at j says something of p_k against p_j; the maximum is
    unique where such arrows lead from each rank to each other one (Ford 1957).
    """
    rank = cells.rank[several]
    clicks = np.bincount(rank, cells.clicks[several], minlength=DEEPEST + 1)
    _, pair = np.unique(cells.pair[several], return_inverse=True)
    if not len(pair):
        return np.empty(0, dtype=np.int64)
    shape = (int(pair.max()) + 1, DEEPEST + 1)
    ones = np.ones(len(rank))
    shown = csr_array((ones, (pair, rank)), shape=shape)
    clicked = csr_array(((cells.clicks[several] > 0).astype(float), (pair, rank)), shape=shape)
    _, label = connected_components(shown.T @ clicked, directed=True, connection="strong")
    enough = clicks >= _LEAST_CLICKS
    if not enough.any():
        return np.empty(0, dtype=np.int64)
    best = np.bincount(label[enough], clicks[enough]).argmax()
    return np.flatnonzero(enough & (label == best))


def _maximised(pair: Ints, place: Ints, shown: Ints, clicks: Ints) -> tuple[Floats, int]:
    """Return the p that maximises the likelihood, its largest being 1, and the rounds it took."""
    ranks, pairs = int(place.max()) + 1, int(pair.max()) + 1
    clicks_of_rank = np.bincount(place, clicks, minlength=ranks)
    clicks_of_pair = np.bincount(pair, clicks, minlength=pairs)
    p = np.ones(ranks)
    rounds, change = 0, 1.0
    while change > _TOLERANCE and rounds < _ROUNDS:
        expected = np.bincount(pair, shown * p[place], minlength=pairs)
        weight = shown * (clicks_of_pair / expected)[pair]
        new = clicks_of_rank / np.bincount(place, weight, minlength=ranks)
        new /= new.max()
        change = float(np.abs(new / p - 1).max())
        p, rounds = new, rounds + 1
    return p, rounds


def _spread(used: Ints, found: Floats) -> Floats:
    """Return a value for every rank: its own, or that of the next one above, or of the first."""
    every = np.arange(DEEPEST + 1)
    above = np.maximum(np.searchsorted(used, every, side="right") - 1, 0)
    values: Floats = found[above]
    return values
