"""Losses of single judged pairs: near or far, by how much.

Shapes: Q queries, C documents, D dimensions, E edges.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.losses.checks import require, require_judged
from nearfar.losses.edges import Edges
from nearfar.vectors.similarity import pair_cosines


def contrastive(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    margin: float = 0.5,
) -> Float[Tensor, ""]:
    """Pull what belongs together, push what does not until it is a margin away.

        loss = mean over judged pairs of  d^2 / 2                if the grade is above 0
                                          max(0, m - d)^2 / 2    if it is 0

    with d = 1 - cosine.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them; excluded ones say nothing.
        margin: m, a cosine distance above 0, up to 2.

    Returns:
        A scalar, 0 to 2; 0 is perfect.

    Raises:
        BadSetting: the margin is out of its range.
        ValueError: no pair is judged.

    Source: Hadsell, Chopra and LeCun 2006, doi:10.1109/CVPR.2006.100, eq. 4, with cosine
        distance.
    """
    _require_margin(margin)
    distance, near = _distances(queries, documents, edges)
    return torch.where(near, distance, (margin - distance).clamp_min(0)).square().mean() / 2


def online_contrastive(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    margin: float = 0.5,
) -> Float[Tensor, ""]:
    """Return the contrastive loss of the hard pairs of a batch alone.

        loss = mean over hard pairs of d^2 or max(0, m - d)^2

    Hard are positive pairs farther apart than the nearest negative pair of the batch, and
    negative pairs nearer than the farthest positive one. Without pairs of the other kind, the
    harder half: those beyond the mean of their own kind.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them; excluded ones say nothing.
        margin: m, a cosine distance above 0, up to 2.

    Returns:
        A scalar, 0 to 4; 0 where no pair is hard.

    Raises:
        BadSetting: the margin is out of its range.
        ValueError: no pair is judged.

    Source: the OnlineContrastiveLoss of sentence-transformers, which adds up where we take the
        mean, so that its size does not depend on the batch's.
    """
    _require_margin(margin)
    distance, near = _distances(queries, documents, edges)
    there = distance.detach()
    positive, negative = there[near], there[~near]
    nearest = negative.min() if len(negative) else positive.mean()
    farthest = positive.max() if len(positive) else negative.mean()
    hard = torch.where(near, there > nearest, there < farthest)
    if not hard.any():
        return (distance * 0).sum()
    values = torch.where(near, distance, (margin - distance).clamp_min(0)).square()
    return values[hard].mean()


def cosine_mse(
    queries: Float[Tensor, "Q D"], documents: Float[Tensor, "C D"], edges: Edges
) -> Float[Tensor, ""]:
    """Make the cosine of a judged pair equal to its grade.

        loss = mean over judged pairs (i, j) of (s_ij - g_ij)^2,   s = cosine

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them, with grades of 0 to 1; excluded ones say nothing.

    Returns:
        A scalar, 0 to 4; 0 is perfect.

    Raises:
        ValueError: no pair is judged, or a grade is none that a cosine can be.

    Source: Reimers and Gurevych 2019, arXiv:1908.10084, sec. 3 (regression objective).
    """
    distance, _ = _distances(queries, documents, edges)
    grade = edges.grade[edges.allowed].to(distance.dtype)
    if not (grade.abs() <= 1).all():
        odd = grade[~(grade.abs() <= 1)][0]
        raise ValueError(
            f"cosine_mse compares cosines with grades of 0 to 1, got {odd:.3g}. Divide the "
            "grades by the highest there can be, or take cosent, which needs their order only."
        )
    return (1 - distance - grade).square().mean()


def _distances(queries: Tensor, documents: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """Return the cosine distance of each judged pair, and whether it belongs together."""
    allowed = require_judged(edges)
    cosines = pair_cosines(queries, documents, edges.query[allowed], edges.document[allowed])
    return 1 - cosines, edges.grade[allowed] > 0


def _require_margin(margin: float) -> None:
    require(0 < margin <= 2, "margin", "above 0, up to 2", margin)
