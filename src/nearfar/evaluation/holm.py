"""Holm's correction: many tests at once, and still a known chance of one false alarm."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def adjusted(p: Sequence[float] | Floats) -> Floats:
    """Return each p so that "at most alpha" is wrong anywhere with a chance of alpha at most.

        adjusted of the i-th smallest = max over j <= i of (R - j + 1) p_j, at most 1

    Args:
        p: (R,) of the tests, however they depend on each other.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).

    >>> adjusted([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.asarray(p, dtype=np.float64)
    order = np.argsort(found, kind="stable")
    steps = found[order] * np.arange(len(found), 0, -1)
    result = np.empty_like(found)
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return result
