"""Losses of a reranker's scores that look at all judged documents of a query at once.

Shapes: E edges.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.losses.checks import require_temperature
from nearfar.losses.edges import Edges
from nearfar.losses.groups import log_sum_within
from nearfar.losses.lists import Lists, in_order, lists_of, shares, sum_within
from nearfar.losses.searching import softened


def listwise_softmax(
    scores: Float[Tensor, " E"], edges: Edges, *, temperature: float | Tensor = 1.0
) -> Float[Tensor, ""]:
    """Mean surprise at finding each answer among the documents judged to be none.

        loss = mean over positive edges (i, j) of
               -log( exp(s_ij / t) / (exp(s_ij / t) + sum over k in N_i of exp(s_ik / t)) )

    with N_i the documents judged 0 for query i. Several answers of one query do not compete
    with each other; answers of a query with no document judged 0 are left out of the mean.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        temperature: t > 0, no unit.

    Returns:
        A scalar in nats: 0 is perfect, log(1 + K) is a guess among K negatives.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no query has both an answer and a document judged 0.

    Source: Gao et al. 2021, arXiv:2101.08751 (localised contrastive estimation), which is van den
        Oord et al. 2018, arXiv:1807.03748, eq. 4, over the list of one query.
    """
    require_temperature(temperature)
    lists = lists_of(scores, edges)
    logits, answer = lists.logits / temperature, lists.grade > 0
    rivals = torch.bincount(lists.of[~answer], minlength=lists.count)
    looked_for = answer & (rivals[lists.of] > 0)
    if not looked_for.any():
        raise ValueError("no query of the batch has both an answer and a document judged 0.")
    negatives = log_sum_within(logits[~answer], lists.of[~answer], lists.count)
    return softened(negatives[lists.of[looked_for]], logits[looked_for]).mean()


def list_mle(
    scores: Float[Tensor, " E"], edges: Edges, *, target: str = "grade"
) -> Float[Tensor, ""]:
    """Make the order of the targets the likeliest order to draw documents in, best first.

        loss = mean over lists of  sum over entries i of
               -log( exp(s_i) / (exp(s_i) + sum over j with y_j < y_i of exp(s_j)) )

    with y the target. Where all y differ this is the negative log-likelihood of the one right
    order (Plackett and Luce). Entries of the same y have no right order, so they do not compete
    with each other: each is drawn from itself and what is to stand below it. The sum is then an
    upper bound on the negative log of the probability that all are drawn before those below
    them, in whatever order. No order is made up, by chance or by place.

    Lists whose targets are all alike are left out of the mean.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        target: y: "grade", or "teacher" for the order of the teacher's scores.

    Returns:
        A scalar in nats, 0 or more; it grows with the length of the lists.

    Raises:
        BadSetting: another target.
        ValueError: no query has documents of different targets.

    Source: Xia et al. 2008, doi:10.1145/1390156.1390306. Ties are ours: if each document waits
        an exponential time of rate exp(s), those of one y come independently before any given
        time; that of the first below them is shared, which makes their coming before it
        together at least as likely as the product says.
    """
    lists = lists_of(scores, edges, target)
    better, worse = in_order(lists)
    return _surprise(lists, better, worse).sum() / len(torch.unique(lists.of[better]))


def p_list_mle(
    scores: Float[Tensor, " E"], edges: Edges, *, target: str = "grade"
) -> Float[Tensor, ""]:
    """ListMLE in which the first places count most.

        loss = mean over lists of  sum over entries i of  a_i * (the term of i in list_mle)
        a_i  = (2^(n - p_i) - 1) / (their sum over the list)

    with n the length of the list and p_i the place of i in the order of its target, from 1;
    entries of the same target share the mean of the weights of their places.

    Args:
        scores: one logit per edge.
        edges: all judgments; excluded ones say nothing.
        target: "grade", or "teacher" for the order of the teacher's scores.

    Returns:
        A scalar in nats, 0 or more.

    Raises:
        BadSetting: another target.
        ValueError: no query has documents of different targets.

    Source: Lan et al. 2014, Position-Aware ListMLE, UAI, pages 449-458. Ours divides
        by the sum of the weights, which would leave the range of a float32 in a list of 128,
        and treats ties as list_mle does.
    """
    lists = lists_of(scores, edges, target)
    better, worse = in_order(lists)
    terms = _surprise(lists, better, worse)
    ones = torch.ones_like(lists.logits[better])
    above = sum_within(ones, worse, len(terms))
    below = sum_within(ones, better, len(terms))
    alike = lists.size - above - below
    last = torch.exp2(-lists.size.to(terms.dtype))
    # The mean of 2^-p - 2^-n over places p = above + 1 to above + alike.
    weight = (torch.exp2(-above) - torch.exp2(-above - alike)) / alike - last
    told = (above + below) > 0  # all entries of a list have others above or below, or none has
    return (shares(weight * told, lists.of) * terms).sum()


def _surprise(lists: Lists, better: Tensor, worse: Tensor) -> Tensor:
    """Return how unlikely each entry is the first of itself and those below it; 0 for the last."""
    below = log_sum_within(lists.logits[worse], better, len(lists.logits))
    return softened(below, lists.logits)
