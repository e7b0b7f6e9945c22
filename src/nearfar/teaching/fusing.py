"""One score of several teachers'.

Shapes: T teachers, P pairs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadSetting
from nearfar.teaching.settings import Fusion
from nearfar.vectors.ranks import RRF

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def fused(logits: Floats, query: Ints, fusion: Fusion, weights: Sequence[float]) -> Floats:
    """Return one logit per pair of the logits of several teachers.

        logit      sum over teachers t of  w_t z_t
        standard   m + s * sum over t of  w_t (z_t - m_t) / s_t
        ranks      the same of  1 / (60 + rank_t)  in place of z_t, the lowest rank the best

    with weights that sum to 1, m_t and s_t mean and standard deviation of teacher t over the
    documents of a query, and m and s their weighted means: so what comes out is on the scale of
    the logits, and of one teacher "standard" is what went in. Equal logits share their mean rank.
    A pair that any teacher gives no score (NaN) has none.

    Args:
        logits: (T, P); NaN where a teacher said nothing.
        query: (P,) the query of each pair, in any order.
        fusion: how.
        weights: one per teacher, 0 or more; none: all alike.

    Raises:
        BadSetting: there are not as many weights as teachers.

    Source: ranks as in Cormack et al. 2009, doi:10.1145/1571941.1572114 (reciprocal rank fusion).
    """
    require_weights(weights, len(logits))
    shares = np.array(weights or [1.0] * len(logits), dtype=np.float64)
    shares /= shares.sum()
    out = np.full(logits.shape[1], np.nan)
    whole = np.asarray(~np.isnan(logits).any(axis=0))
    if not whole.any():
        return out
    if fusion == "logit" or len(logits) == 1:
        out[whole] = shares @ logits[:, whole]
        return out
    order = np.argsort(query, kind="stable")
    order = order[whole[order]]
    for rows in np.split(order, np.flatnonzero(np.diff(query[order])) + 1):
        out[rows] = _of_one_query(logits[:, rows], shares, by_rank=fusion == "ranks")
    return out


def require_weights(weights: Sequence[float], teachers: int) -> None:
    """Raise BadSetting unless there are as many weights as teachers, or none."""
    if weights and len(weights) != teachers:
        raise BadSetting(
            f"teaching.weights must be one for each of the {teachers} teachers, got {len(weights)}."
        )


def _of_one_query(logits: Floats, shares: Floats, *, by_rank: bool) -> Floats:
    means, spreads = logits.mean(axis=1), logits.std(axis=1)
    values = np.stack([1 / (RRF + _ranks(own)) for own in logits]) if by_rank else logits
    centred = values - values.mean(axis=1, keepdims=True)
    own = values.std(axis=1, keepdims=True)
    standard = np.divide(centred, own, out=np.zeros_like(centred), where=own > 0)
    result: Floats = shares @ means + (shares @ spreads) * (shares @ standard)
    return result


def _ranks(logits: Floats) -> Floats:
    """Return the rank of each, from 1 for the highest; equals share the mean of theirs."""
    _, inverse, counts = np.unique(-logits, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: Floats = (last - (counts - 1) / 2)[inverse]
    return mean
