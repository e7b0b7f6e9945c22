"""Losses of order: a pair with a higher grade is to be nearer than one with a lower grade.

Shapes: Q queries, C documents, D dimensions, E edges.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from nearfar.losses.checks import require_judged, require_temperature
from nearfar.losses.edges import Edges
from nearfar.vectors.similarity import pair_cosines, unit

_EDGES_AT_ONCE = 512


def cosent(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
) -> Float[Tensor, ""]:
    """Put the cosines of all judged pairs of the batch into the order of their grades.

        loss = log( 1 + sum over edges e, f with g_e > g_f of exp((s_f - s_e) / t) )

    with g the grade and s the cosine of an edge.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them; excluded ones say nothing.
        temperature: t > 0, no unit.

    Returns:
        A scalar in nats, 0 or more; 0 if all grades are the same.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no pair is judged.

    Source: Su 2022, https://kexue.fm/archives/8847, eq. 6.
    """
    allowed = require_judged(edges)
    cosines = pair_cosines(queries, documents, edges.query[allowed], edges.document[allowed])
    return _in_order(cosines, edges.grade[allowed], temperature)


def angle(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
) -> Float[Tensor, ""]:
    """Put pairs into the order of their grades by angles in the complex plane, which saturate less.

        loss = log( 1 + sum over edges e, f with g_e > g_f of exp((a_f - a_e) / t) )
        a = |Re z + Im z|,   z = sum over k of q_k * conj(d_k)

    where the first half of a vector of length 1 are the real and its second half the imaginary
    parts of D/2 complex numbers, so that Re z is the cosine.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document; an odd D gets a 0 at its end.
        edges: all judgments between them; excluded ones say nothing.
        temperature: t > 0, no unit.

    Returns:
        A scalar in nats, 0 or more; 0 if all grades are the same.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no pair is judged.

    Source: Li and Li 2023, arXiv:2309.12871, eq. 3-6: the angle term alone.
    """
    allowed = require_judged(edges)
    pairs = (unit(queries)[edges.query[allowed]], unit(documents)[edges.document[allowed]])
    (q_real, q_imaginary), (d_real, d_imaginary) = (
        pad(one, (0, one.shape[1] % 2)).chunk(2, dim=1) for one in pairs
    )
    real = (q_real * d_real + q_imaginary * d_imaginary).sum(1)
    imaginary = (q_imaginary * d_real - q_real * d_imaginary).sum(1)
    return _in_order((real + imaginary).abs(), edges.grade[allowed], temperature)


def _in_order(likeness: Tensor, grade: Tensor, temperature: float | Tensor) -> Tensor:
    """Return log(1 + the sum over pairs in the wrong order), some rows of E x E at a time."""
    require_temperature(temperature)
    logits = likeness / temperature
    sums = [logits.sum() * 0]  # 0, and with a slope of 0 where all grades are the same
    for start in range(0, len(logits), _EDGES_AT_ONCE):
        some = slice(start, start + _EDGES_AT_ONCE)
        better = grade[some, None] > grade  # (b, E)
        gaps = (logits - logits[some, None])[better]
        if len(gaps):
            sums.append(gaps.logsumexp(0))
    return torch.stack(sums).logsumexp(0)
