"""How sure a number is that belongs to a whole set, and is no mean over its members.

Shapes: N members (pairs, texts), G clusters of members that hang together.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from nearfar.evaluation.intervals import CONFIDENCE, FEWEST, Estimate

Rows = npt.NDArray[np.int64]

_PARTS = 100  # left out in turn; of more clusters, several go together


def whole_estimate(
    number: Callable[[Rows], float],
    clusters: Sequence[str],
    *,
    span: tuple[float, float] = (0.0, 1.0),
    variance: float = 0.0,
) -> Estimate:
    """Return a number of a whole set with its 95 % interval, by leaving parts out in turn.

        number ± t(P - 1) * sqrt( (P - 1) / P * sum over parts of (number without it - mean)²
                                  + variance )

    A part is a cluster; of more than 100 clusters every hundredth goes together, so the number is
    computed 101 times at most, however many members there are. Where no part moves the number, as
    when all members are right, nothing is known of how far it may be off: there is no interval.
    A failure so rare that few members show it can be missed, unlike in `intervals.estimate`.

    Args:
        number: from rows of the members, ascending, to the number.
        clusters: (N,) what each member belongs to.
        span: the least and the most the number can be.
        variance: what dice add that the members do not show, such as the seeds of a clustering.

    Raises:
        ValueError: there are no members.

    Source: the delete-a-group jackknife, Kott 2001, Journal of Official Statistics 17(4).
    """
    if not len(clusters):
        raise ValueError("expected at least one member, got none.")
    rows = np.arange(len(clusters))
    _, members = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    groups = int(members.max()) + 1
    value = number(rows)
    if len(rows) < FEWEST or groups < 2:
        return Estimate(value, None, None, len(rows), groups)
    part_of = members % _PARTS
    parts = int(part_of.max()) + 1
    without = np.array([number(rows[part_of != part]) for part in range(parts)])
    spread = (parts - 1) / parts * float(((without - without.mean()) ** 2).sum())
    if not spread > 0:
        return Estimate(value, None, None, len(rows), groups)
    times = float(stats.t.ppf((1 + CONFIDENCE) / 2, parts - 1))
    half = times * math.sqrt(spread + variance)
    low, high = max(value - half, span[0]), min(value + half, span[1])
    return Estimate(value, low, high, len(rows), groups)
