"""How many labelled queries a question needs."""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from nearfar.release.policy import Policy

Floats = npt.NDArray[np.float64]


def queries_for(deviation: float, effect: float, *, confidence: float, power: float) -> int:
    """Return how many queries it takes to rule a loss out that did not happen.

    The smallest n whose `effect_of` is at most the effect.

    Args:
        deviation: of the differences from query to query (sigma_d); of clusters, times the root
            of their design effect.
        effect: the loss that matters, above 0, below 1.
        confidence: of the bound, one-sided.
        power: how often the bound shall clear the effect where nothing was lost.

    >>> queries_for(0.2, 0.02, confidence=0.95, power=0.8)
    729
    """
    low, high = 0, 1
    while effect_of(deviation, high, confidence=confidence, power=power) > effect:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        clear = effect_of(deviation, middle, confidence=confidence, power=power) <= effect
        low, high = (low, middle) if clear else (middle, high)
    return high


def effect_of(deviation: float, queries: int, *, confidence: float, power: float) -> float:
    """Return the smallest loss that so many queries can rule out.

        max( z(confidence) sqrt(deviation² / n + 1 / n²) + z(power) deviation / sqrt(n) + 1 / n,
             1 - (1 - confidence)^(1 / n) )

    The first is the usual (z(confidence) + z(power)) deviation / sqrt(n), 2.487 of it for .95 and
    .8, beside what the unseen query of `intervals.lower_bound` takes. The second is what no
    deviation can say: of n queries that are all alike, such a share can still fail unseen.
    """
    n = queries
    bound = float(ndtri(confidence)) * math.sqrt(deviation**2 / n + 1 / n**2) + 1 / n
    normal = bound + float(ndtri(power)) * deviation / math.sqrt(n)
    return float(max(normal, 1 - (1 - confidence) ** (1 / n)))


def deviation_of(values: Floats, clusters: npt.NDArray[np.int64]) -> float:
    """Return the deviation of values as if queries were independent: sqrt(n) standard errors.

    Where those of a cluster rise and fall together it is larger than that of single values.
    """
    _, members = np.unique(clusters, return_inverse=True)
    groups = int(members.max()) + 1
    if groups < 2:
        return float(values.std())
    sums = np.bincount(members, weights=values - values.mean())
    return float(np.sqrt(groups / (groups - 1) * (sums**2).sum() / len(values)))


def queries_needed(
    values: Floats, clusters: npt.NDArray[np.int64], effect: float, policy: Policy
) -> int:
    """Return how many queries like these a clear answer needs; more than there are."""
    found = queries_for(
        deviation_of(values, clusters), min(effect, 0.999),
        confidence=policy.confidence, power=policy.power,
    )  # fmt: skip
    return max(found, len(values) + 1)
