"""How sure a mean is: intervals that know which queries hang together.

Shapes: N queries, G clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
FEWEST = 20  # queries; below that a mean stands without an interval
_FEW = 50  # up to here a mean is drawn to the middle by two invented observations


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and where it may really lie."""

    mean: float
    low: float | None  # None: too little to say
    high: float | None
    n: int  # queries
    clusters: int  # groups of queries that are not independent of each other

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high is not None and self.high < 0


def estimate(
    values: Sequence[float] | Floats, clusters: Sequence[str], *, span: tuple[float, float]
) -> Estimate:
    """Return the mean of some values with its 95 % interval.

        mean ± t(G - 1) * sqrt( G / (G - 1) * sum over clusters of (sum of residuals)² ) / N

    Queries of one cluster (one article, one session) rise and fall together; counting them
    as independent makes intervals too narrow. With few queries, where a rare failure may not
    have been seen at all, two invented observations at the ends of the span keep the interval
    honest: without them its real coverage can fall to .63.

    Args:
        values: (N,) one value a query.
        clusters: (N,) what each query belongs to.
        span: the least and the most a value can be: (0, 1) of a metric, (-1, 1) of a difference.

    Raises:
        ValueError: there is no value, or one is not a number.

    Source: Liang and Zeger 1986, doi:10.1093/biomet/73.1.13, eq. 8 for a mean, with the usual
        correction G / (G - 1) and a t distribution for few clusters.
    """
    found = np.asarray(values, dtype=np.float64)
    if not len(found) or not np.isfinite(found).all():
        raise ValueError(f"expected at least one value and only numbers, got {found}.")
    _, members = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    groups = int(members.max()) + 1
    mean = float(found.mean())
    if len(found) < FEWEST or groups < 2:
        return Estimate(mean, None, None, len(found), groups)
    middle, deviation, freedom = mean, 0.0, groups - 1
    sample, places = found, members
    if len(found) <= _FEW:
        sample = np.append(found, span)
        places = np.append(members, [groups, groups + 1])
        middle, freedom = float(sample.mean()), groups + 1
    sums = np.bincount(places, weights=sample - middle)
    deviation = math.sqrt(len(sums) / (len(sums) - 1) * float((sums**2).sum())) / len(sample)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * deviation
    low, high = max(middle - half, span[0]), min(middle + half, span[1])
    return Estimate(mean, min(low, mean), max(high, mean), len(found), groups)
