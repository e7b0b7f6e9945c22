"""Losses of a reranker's scores that look at two documents of one query at a time.

Shapes: E edges, P entries of all lists, M pairs of entries.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from nearfar.losses.checks import require, require_one_of, require_temperature
from nearfar.losses.edges import Edges
from nearfar.losses.lists import Lists, in_order, lists_of, places, shares, sum_within


def ranknet(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    temperature: float = 1.0,
    weighting: str = "none",
    target: str = "grade",
) -> Float[Tensor, ""]:
    """Put any two documents of a query into the order of their targets.

        loss = mean over lists of  mean over pairs i, j with y_i > y_j of
               w_ij log(1 + exp(-(s_i - s_j) / t))

    with y the target. Lists without two different targets are left out.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        temperature: t > 0; the paper's sigma is 1 / t.
        weighting: "none": all pairs of a list count alike; "gap": as y_i - y_j, in shares of
            the sum over the list, so that the scale of the target does not matter.
        target: y: "grade", or "teacher" for the order of the teacher's scores.

    Returns:
        A scalar in nats, 0 or more; log(2) is a guess.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no query has documents of different targets.

    Source: Burges et al. 2005, doi:10.1145/1102351.1102363, with a target probability of 1.
        Ours takes means, so that a long list counts no more than a short one.
    """
    require_temperature(temperature)
    require_one_of("weighting", weighting, ("none", "gap"))
    lists = lists_of(scores, edges, target)
    better, worse = in_order(lists)
    gap = lists.target[better] - lists.target[worse]
    weight = shares(gap if weighting == "gap" else torch.ones_like(gap), lists.of[better])
    return (weight * _wrong(lists, better, worse, temperature)).sum()


def lambdarank(
    scores: Float[Tensor, " E"],
    edges: Edges,
    *,
    weighting: str = "lambdarank",
    k: int | None = None,
    temperature: float = 1.0,
    mu: float = 10.0,
    gain: str = "exponential",
) -> Float[Tensor, ""]:
    """RankNet whose pairs count by what they mean for nDCG.

        loss   = mean over lists of  sum over pairs i, j with g_i > g_j of
                 w_ij log(1 + exp(-(s_i - s_j) / t))
        w_ij   = |G_i - G_j| rho_ij           lambdarank
                 |G_i - G_j| delta_ij         ndcg_loss2
                 |G_i - G_j| (rho_ij + mu delta_ij)           ndcg_loss2++
                 1 / (pairs of the list)      none: RankNet
        rho_ij   = | 1 / D(r_i) - 1 / D(r_j) |
        delta_ij = 1 / D(|r_i - r_j|) - 1 / D(|r_i - r_j| + 1)

    with g the grade, G = (2^g - 1) / (the best DCG of the list), D(r) = log2(1 + r), and r the
    place of a document by the scores as they are, which is not learned through. Of documents
    with the same score the one with the lower grade stands first: a tie is no success. Pairs of
    the same grade say nothing, and lists without two grades are left out.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        weighting: w: one of the four above.
        k: only pairs with at least one document in the first k places count, and the best DCG
            is that of k places; none: all.
        temperature: t > 0; the papers' sigma is 1 / t.
        mu: 0 or more, of ndcg_loss2++ alone.
        gain: "exponential", as above, or "linear", G = g, as in the nDCG that nearfar reports.
            For grades of 0 and 1 they are the same.

    Returns:
        A scalar in nats, 0 or more; the papers' is in bits, this one divided by log(2).

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no query has documents of different grades.

    Source: Burges et al. 2006, Learning to Rank with Nonsmooth Cost Functions, NIPS, as written
        down in Burges 2010, MSR-TR-2010-82, sec. 4; ndcg_loss2 and ndcg_loss2++ of Wang et al.
        2018, doi:10.1145/3269206.3271784. Its ndcg_loss1, a looser bound that also sets answers
        of one grade against each other, is left out.
    """
    require_temperature(temperature)
    require_one_of("weighting", weighting, (*_WEIGHTINGS, "none"))
    require_one_of("gain", gain, tuple(_GAINS))
    require(0 <= mu < math.inf, "mu", "0 or more", mu)
    whole = k is None or (isinstance(k, int) and k >= 1)
    require(whole, "k", "a whole number of 1 or more, or left out", k)
    lists = lists_of(scores, edges)
    better, worse = in_order(lists)
    place = places(lists.of, -lists.logits.detach(), lists.grade).to(lists.grade.dtype)
    if k is not None:
        seen = torch.minimum(place[better], place[worse]) <= k
        better, worse = better[seen], worse[seen]
    if weighting == "none":
        weight = shares(torch.ones_like(lists.grade[better]), lists.of[better])
    else:
        share = _share_of_best(lists, _GAINS[gain](lists), k)
        spread = _WEIGHTINGS[weighting](place[better], place[worse], mu)
        weight = (share[better] - share[worse]) * spread / len(torch.unique(lists.of[better]))
    return (weight * _wrong(lists, better, worse, temperature)).sum()


def _wrong(lists: Lists, better: Tensor, worse: Tensor, temperature: float) -> Tensor:
    """Return the surprise at each pair being in order."""
    return softplus((lists.logits[worse] - lists.logits[better]) / temperature)


def _share_of_best(lists: Lists, gain: Tensor, k: int | None) -> Tensor:
    """Return the gains as shares of the best DCG of their lists; 0 where there are none."""
    ideal = places(lists.of, -lists.grade).to(gain.dtype)
    first = gain if k is None else gain.masked_fill(ideal > k, 0)
    best = sum_within(first * _discount(ideal), lists.of, lists.count)
    return gain / best.masked_fill(best == 0, 1)[lists.of]


def _exponential(lists: Lists) -> Tensor:
    """Return 2^g - 1 as a share of 2^(highest g of the list): no grade is too high for a float."""
    top = lists.grade.new_zeros(lists.count)
    top = top.scatter_reduce(0, lists.of, lists.grade, "amax")[lists.of]
    return -torch.exp2(lists.grade - top) * torch.expm1(-lists.grade * math.log(2))


def _linear(lists: Lists) -> Tensor:
    return lists.grade


def _discount(place: Tensor) -> Tensor:
    return 1 / torch.log2(1 + place)


def _swapped(one: Tensor, other: Tensor, mu: float) -> Tensor:
    return (_discount(one) - _discount(other)).abs()


def _apart(one: Tensor, other: Tensor, mu: float) -> Tensor:
    distance = (one - other).abs()
    return _discount(distance) - _discount(distance + 1)


def _both(one: Tensor, other: Tensor, mu: float) -> Tensor:
    return _swapped(one, other, mu) + mu * _apart(one, other, mu)


_GAINS: dict[str, Callable[[Lists], Tensor]] = {"exponential": _exponential, "linear": _linear}
_WEIGHTINGS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "lambdarank": _swapped,
    "ndcg_loss2": _apart,
    "ndcg_loss2++": _both,
}
