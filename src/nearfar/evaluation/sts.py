"""How well cosines follow the grades that people gave to pairs of sentences.

Shapes: N pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from nearfar.errors import BadRecord

Floats = npt.NDArray[np.float64]

FEWEST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class Correlations:
    """Of each pair, what it adds: their means are the correlations, exactly."""

    spearman: Floats  # (N,)
    pearson: Floats  # (N,)


def correlations(cosines: Floats, grades: Floats) -> Correlations:
    """Return the correlation of cosines and grades, spread over the pairs.

        Pearson's r = mean of a pair's contribution,
        contribution = r + zx zy - r (zx² + zy²) / 2,   z = (value - mean) / deviation

    The second and third term are how far the pair moves r (its influence); they sum to 0. So a
    mean and an interval by cluster are what they are for any metric, and two models are compared
    pair by pair. Spearman's is r of the ranks, ties at the middle of theirs, and its contribution
    counts too that a pair moves the ranks of the others. The mean over a part of the pairs is
    what that part adds to the whole, not the correlation within it.

    Args:
        cosines: of the pairs, or any number that should rise with the grade.
        grades: what people said, on any scale.

    Returns:
        Contributions; their means are -1 to 1, up is good. One of a far-off pair may be larger.

    Raises:
        BadRecord: there are fewer than three pairs, or all grades are one.
        ValueError: the two are not of one length, or hold what is no number.

    Source: the influence function of r, Devlin, Gnanadesikan and Kettenring 1975,
        doi:10.1093/biomet/62.3.531; of Spearman's, Croux and Dehon 2010,
        doi:10.1007/s10260-010-0142-z, with the empirical ranks in place of the true ones.
    """
    if cosines.shape != grades.shape or not np.isfinite(np.stack([cosines, grades])).all():
        raise ValueError(f"{len(cosines)} cosines need as many grades, and only numbers.")
    if len(grades) < FEWEST_PAIRS or grades.min() == grades.max():
        raise BadRecord(
            f"Expected {FEWEST_PAIRS} pairs or more with grades that differ, found {len(grades)} "
            "with one grade. A correlation needs both: import more pairs."
        )
    if cosines.min() == cosines.max():  # a space where every text lies in one place
        nothing = np.zeros(len(grades))
        return Correlations(nothing, nothing)
    return Correlations(_spearman(cosines, grades), _pearson(cosines, grades))


def _pearson(x: Floats, y: Floats) -> Floats:
    one, other = ((v - v.mean()) / v.std() for v in (x, y))
    r = (one * other).mean()
    found: Floats = r + one * other - r * (one**2 + other**2) / 2
    return found


def _spearman(x: Floats, y: Floats) -> Floats:
    # F is the share of values below, ties half; its mean is 1/2. A pair adds to Cov(F, G) what it
    # is itself, and what it adds to the ranks of all pairs above it: `_lifted`.
    f, g = ((stats.rankdata(v) - 0.5) / len(v) - 0.5 for v in (x, y))
    both, own, others = (f * g).mean(), (f**2).mean(), (g**2).mean()
    moved = f * g + _lifted(x, g) + _lifted(y, f) - 3 * both
    moved_own = f**2 + 2 * _lifted(x, f) - 3 * own
    moved_others = g**2 + 2 * _lifted(y, g) - 3 * others
    scale = np.sqrt(own * others)
    r = both / scale
    found: Floats = r + moved / scale - r / 2 * (moved_own / own + moved_others / others)
    return found


def _lifted(values: Floats, weights: Floats) -> Floats:
    """Return, of each value, the mean over all of weight x (1 if above it, 1/2 if equal)."""
    _, place = np.unique(values, return_inverse=True)
    sums: Floats = np.bincount(place, weights=weights).astype(np.float64)
    above = sums.sum() - np.cumsum(sums)
    found: Floats = (above + sums / 2)[place] / len(values)
    return found
