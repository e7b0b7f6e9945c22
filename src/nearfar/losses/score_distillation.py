"""Losses that teach a reranker the scores of another: gaps, shares, or ranks.

Each also takes the grades for a teacher, where a dataset's grades are worth it.

Shapes: E edges.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.losses.checks import require, require_one_of, require_temperature
from nearfar.losses.edges import Edges
from nearfar.losses.groups import pairs_within
from nearfar.losses.lists import in_order, lists_of, log_shares, several, shares, sum_within


def margin_mse(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    pairs: str = "answers",
    target: str = "teacher",
) -> Float[Tensor, ""]:
    """Make the gap between two documents of a query as wide as the teacher's.

        loss = mean over pairs j, k of documents of one query of ( (s_j - s_k) - (y_j - y_k) )^2

    with y the target: only gaps count, not the scale's zero.

    Args:
        scores: one logit per edge.
        edges: judgments with a teacher's scores, logits of any size; NaN is none.
        pairs: "answers": each answer with each document judged 0; "all": any two that the
            teacher tells apart, whatever their grades.
        target: y: "teacher" or "grade".

    Returns:
        A scalar in squared units of the target; 0 is perfect.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: nothing is scored, or there is no such pair.

    Source: Hofstaetter et al. 2020, arXiv:2010.02666, eq. 3.
    """
    require_one_of("pairs", pairs, ("answers", "all"))
    lists = lists_of(scores, edges, target)
    if pairs == "all":
        left, right = in_order(lists)
    else:
        left, right = pairs_within(lists.of)
        both = (lists.grade[left] > 0) & (lists.grade[right] <= 0)
        left, right = left[both], right[both]
        if not len(left):
            raise ValueError(
                "no query of the batch has both an answer and a document judged 0 with a score."
            )
    ours = lists.logits[left] - lists.logits[right]
    return (ours - (lists.target[left] - lists.target[right])).square().mean()


def listwise_kl(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    temperature: float | Tensor = 1.0,
    teacher_temperature: float = 1.0,
    target: str = "teacher",
) -> Float[Tensor, ""]:
    """Make the share of each document of a query what the teacher gives it.

        loss = T^2 * mean over queries of KL( softmax(y / T) || softmax(s / (t T)) )

    over the documents of the query that have the target y. Queries with one of them have nothing
    to share and are left out of the mean.

    Args:
        scores: one logit per edge.
        edges: judgments with a teacher's scores: logits, not probabilities; NaN is none.
        temperature: t > 0, what scores are divided by to be on the teacher's scale.
        teacher_temperature: T > 0, what both are softened by; T^2 keeps the gradient of about
            the same size for a large T.
        target: y: "teacher" or "grade"; of grades it is ListNet, less a constant.

    Returns:
        A scalar in nats times T^2, 0 or more; 0 is perfect.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no query has two scored documents.

    Source: Hinton et al. 2015, arXiv:1503.02531, sec. 2; as a list in Izacard and Grave 2020,
        arXiv:2012.04584, eq. 5; ListNet is Cao et al. 2007, doi:10.1145/1273496.1273513.
    """
    require_temperature(temperature)
    require(0 < teacher_temperature < math.inf, "teacher_temperature", "above 0",
            teacher_temperature)  # fmt: skip
    lists = several(lists_of(scores, edges, target))
    theirs = log_shares(lists.target / teacher_temperature, lists.of, lists.count)
    ours = log_shares(lists.logits / temperature / teacher_temperature, lists.of, lists.count)
    return (theirs.exp() * (theirs - ours)).sum() / lists.count * teacher_temperature**2


def adr_mse(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    temperature: float = 1.0,
    target: str = "teacher",
) -> Float[Tensor, ""]:
    """Bring each document to the rank that the teacher gives it, the first ranks above all.

        loss = mean over lists of  mean over entries i of  (r_i - rank_i)^2 / log2(1 + r_i)
        rank_i = 1 + sum over j other than i of sigmoid((s_j - s_i) / t)

    with r_i the rank of i by the target, from 1; entries of the same target share the mean of
    their ranks, which equal scores reach. Only the teacher's order counts, not its scale. A rank
    that is far from any change has no slope: scores many t apart in the wrong order learn
    slowly. Lists of one entry are left out.

    Args:
        scores: one logit per edge.
        edges: judgments with a teacher's scores; NaN is none.
        temperature: t > 0, of the steps between ranks; the smaller, the sharper.
        target: "teacher" or "grade".

    Returns:
        A scalar in squared ranks, 0 or more.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no query has two scored documents.

    Source: Schlatt et al. 2024, Rank-DistiLLM, arXiv:2405.07920 (ADR-MSE), with ranks as in Qin
        et al. 2010, doi:10.1007/s10791-009-9124-x. The mean rank of ties and the mean within
        each list first are ours.
    """
    require_temperature(temperature)
    lists = several(lists_of(scores, edges, target))
    one, other = pairs_within(lists.of)  # each with itself too, which adds 1/2 to both ranks
    ahead = ((lists.logits[other] - lists.logits[one]) / temperature).sigmoid()
    above = lists.target[other] - lists.target[one]
    rank = 0.5 + sum_within(ahead, one, len(lists.of))
    theirs = 0.5 + sum_within(torch.sign(above) / 2 + 0.5, one, len(lists.of))
    error = (theirs - rank).square() / torch.log2(1 + theirs)
    return (shares(torch.ones_like(error), lists.of) * error).sum()
