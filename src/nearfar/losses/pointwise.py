"""Losses of a reranker's scores that look at one pair at a time.

Shapes: E edges.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nearfar.losses.checks import require, require_one_of
from nearfar.losses.edges import Edges
from nearfar.losses.lists import Lists, lists_of


def binary_cross_entropy(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    highest_grade: float | None = None,
    positive_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Make the probability of each pair that of being an answer.

        loss = mean over edges of  -w y log(sigmoid(s)) - (1 - y) log(1 - sigmoid(s))

    with s the score, w the weight of positives, and y = 1 if the grade is above 0, else 0; or,
    with a highest grade h, y = grade / h.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        highest_grade: h > 0, the grade of certainty; none: every grade above 0 is.
        positive_weight: w > 0; the number of negatives per positive makes both count alike.

    Returns:
        A scalar in nats, 0 or more; log(2) is a guess where w = 1.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no pair is judged, or a grade is above the highest.

    Source: Nogueira and Cho 2019, arXiv:1901.04085, eq. 1, with one logit for two classes.
    """
    require(0 < positive_weight < math.inf, "positive_weight", "above 0", positive_weight)
    lists = lists_of(scores, edges)
    answer = (
        (lists.grade > 0).to(lists.logits.dtype)
        if highest_grade is None
        else _of_highest(lists, highest_grade)
    )
    weight = torch.as_tensor(positive_weight, dtype=lists.logits.dtype, device=lists.logits.device)
    return binary_cross_entropy_with_logits(lists.logits, answer, pos_weight=weight)


def graded_mse(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    highest_grade: float = 1.0,
    activation: str = "sigmoid",
) -> Float[Tensor, ""]:
    """Bring each score to its grade.

        loss = mean over edges of ( f(s) - grade / h )^2

    with f the sigmoid: a grade is bounded, so f(s) is to be too, and s stays a logit that
    everything else which reads scores (thresholds, fusion, the other losses) understands. A
    score far on the wrong side hardly feels a sigmoid any more: for a model whose scores begin
    far from 0, or whose plain score is to *be* the grade, f = "none" takes the score as it is.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        highest_grade: h > 0, what a grade is divided by.
        activation: f, "sigmoid" or "none".

    Returns:
        A scalar, 0 or more; with a sigmoid at most 1.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no pair is judged, or a sigmoid could not reach a grade above the highest.

    Source: least squares on the grade as in Cossock and Zhang 2006, doi:10.1007/11776420_44;
        the sigmoid is ours.
    """
    require_one_of("activation", activation, ("sigmoid", "none"))
    lists = lists_of(scores, edges)
    if activation == "none":
        _require_grade(highest_grade)
        return (lists.logits - lists.grade / highest_grade).square().mean()
    return (lists.logits.sigmoid() - _of_highest(lists, highest_grade)).square().mean()


def _of_highest(lists: Lists, highest: float) -> Tensor:
    """Return the grades as shares of the highest."""
    _require_grade(highest)
    found = lists.grade.max().item()
    if found > highest:
        raise ValueError(f"a pair has grade {found:g}, above loss.highest_grade {highest:g}.")
    return lists.grade / highest


def _require_grade(highest: float) -> None:
    require(0 < highest < math.inf, "highest_grade", "above 0", highest)
