"""Losses that teach the judgment of another model: its scores, or its vectors.

Where the edges carry no scores of a teacher, their grades are taken for them.

Shapes: Q queries, C documents, D dimensions, E edges, S scored edges.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses.blocks import Pairs, blockwise
from nearfar.losses.checks import require, require_temperature
from nearfar.losses.edges import Edges, pairs_among
from nearfar.losses.groups import pairs_within
from nearfar.losses.lists import log_shares
from nearfar.vectors.similarity import pair_cosines, unit


def margin_mse(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
) -> Float[Tensor, ""]:
    """Make the gap between two documents of a query as wide as the teacher's.

        loss = mean over queries i and pairs j, k of their documents with T_ij > T_ik of
               ( (s_ij - s_ik) / t - (T_ij - T_ik) )^2

    with s the cosine and T the teacher's score: only gaps count, not the scale's zero.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: judgments with a teacher's scores, logits of any size; NaN is none.
        temperature: t > 0: a cosine gap of t is worth a gap of 1 of the teacher.

    Returns:
        A scalar in squared units of the teacher's score; 0 is perfect.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no query has two documents with different scores.

    Source: Hofstaetter et al. 2020, arXiv:2010.02666, eq. 3; ours takes every pair of scored
        documents, not one with the positive alone.
    """
    require_temperature(temperature)
    query, cosines, _, scores = _scored(queries, documents, edges)
    left, right = pairs_within(query)
    wider = scores[left] > scores[right]
    left, right = left[wider], right[wider]
    if not len(left):
        raise ValueError("no query of the batch has two documents that the teacher tells apart.")
    gaps = (cosines[left] - cosines[right]) / temperature
    return (gaps - (scores[left] - scores[right])).square().mean()


def listwise_kl(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
    teacher_temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Make the share of each document of a query what the teacher gives it.

        loss = T^2 * mean over queries of KL( softmax(teacher / T) || softmax(s / (t T)) )

    over the scored documents of the query, with s the cosine, so that s / t are the student's
    logits. Both are softened by T, and T^2 keeps the gradient of about the same size for a large
    T. Queries with one scored document have nothing to share and are left out of the mean.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: judgments with a teacher's scores: logits, not probabilities; NaN is none.
        temperature: t > 0, what cosines are divided by to become logits.
        teacher_temperature: T > 0, what both logits are softened by.

    Returns:
        A scalar in nats times T^2, 0 or more; 0 is perfect.

    Raises:
        BadSetting: a temperature is not above 0.
        ValueError: no query has two scored documents.

    Source: Hinton et al. 2015, arXiv:1503.02531, sec. 2; as a list in Izacard and Grave 2020,
        arXiv:2012.04584, eq. 5.
    """
    require_temperature(temperature)
    require(0 < teacher_temperature < math.inf, "teacher_temperature", "above 0",
            teacher_temperature)  # fmt: skip
    query, cosines, _, scores = _scored(queries, documents, edges)
    count = torch.bincount(query, minlength=len(queries))
    shared = count[query] > 1
    if not shared.any():
        raise ValueError("no query of the batch has two documents with a teacher's score.")
    rows = query[shared]
    theirs = log_shares(scores[shared] / teacher_temperature, rows, len(queries))
    ours = log_shares(cosines[shared] / temperature / teacher_temperature, rows, len(queries))
    total = (theirs.exp() * (theirs - ours)).sum() / (count > 1).sum()
    return total * teacher_temperature**2


def listwise_infonce(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
    teacher_temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """InfoNCE with soft answers: the teacher says how much of an answer each document is.

        loss = mean over queries i of - sum over their scored j of
               p_ij log( exp(s_ij / t) / sum over k of exp(s_ik / t) ),  p = softmax(teacher / T)

    where k goes over the scored documents of the query and all that are unknown to it: the
    order within the list is the teacher's, and the rest of the batch is pushed away.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: judgments with a teacher's scores: logits, not probabilities; NaN is none.
        temperature: t > 0, of the student.
        teacher_temperature: T > 0, of the teacher.

    Returns:
        A scalar in nats, from the entropy of the teacher's shares on.

    Raises:
        BadSetting: a temperature is not above 0.
        ValueError: nothing is scored.

    Source: soft targets as in Hinton et al. 2015, arXiv:1503.02531, sec. 2, in InfoNCE (van
        den Oord et al. 2018, arXiv:1807.03748, eq. 4).
    """
    require_temperature(temperature)
    require(0 < teacher_temperature < math.inf, "teacher_temperature", "above 0",
            teacher_temperature)  # fmt: skip
    query, _, document, scores = _scored(queries, documents, edges)
    share = log_shares(scores / teacher_temperature, query, len(queries)).exp()
    order = torch.argsort(query, stable=True)
    listed, share = Pairs(query[order], document[order]), share[order]
    share = share / len(torch.unique(query))
    # Answers without a score, and what is excluded, are neither of the list nor strangers.
    scored = torch.stack([query, document], dim=1)
    hidden = Pairs.sorted(*edges.known[~pairs_among(edges.known, scored)].T)

    def loss(cosines: Tensor, rows: slice, hot: Tensor) -> Tensor:
        here, at = listed.within(rows)
        logits = cosines / hot
        seen = logits.index_put(hidden.within(rows)[1], logits.new_tensor(float("-inf")))
        return (share[here] * (seen.logsumexp(1)[at[0]] - logits[at])).sum()

    return blockwise(queries, documents, temperature, loss)


def embedding_distillation(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    relations: bool = False,
) -> Float[Tensor, ""]:
    """Bring each vector where the teacher has it.

        loss = mean over all texts of 1 - cosine(vector, teacher's vector)
               or, with relations, mean over all pairs of texts of (s_ij - T_ij)^2

    with s the cosine of two texts here, and T their cosine at the teacher's.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: with the teacher's vectors of the same texts.
        relations: compare cosines rather than places: for a teacher of another dimension.

    Returns:
        A scalar, 0 to 2, with relations to 4; 0 is perfect.

    Raises:
        BadSetting: there is no teacher, or its vectors have another dimension and relations
            is off.

    Source: Reimers and Gurevych 2020, arXiv:2004.09813, eq. 1, with cosines; relations as in
        Park et al. 2019, arXiv:1904.05068, sec. 3.
    """
    if edges.teacher is None:
        raise BadSetting("loss.name embedding_distillation needs a teacher, and the task has none.")
    theirs = [unit(vectors.detach()) for vectors in edges.teacher]
    if relations:
        ours = torch.cat([unit(queries), unit(documents)])
        teacher = torch.cat(theirs)
        parts = zip(torch.split(ours, 512), torch.split(teacher, 512), strict=True)
        gaps = [(mine @ ours.T - his @ teacher.T).square().sum(1) for mine, his in parts]
        return torch.cat(gaps).mean() / len(ours)
    if queries.shape[1] != theirs[0].shape[1]:
        raise BadSetting(
            f"loss.name embedding_distillation: expected a teacher with {queries.shape[1]} "
            f"dimensions, found {theirs[0].shape[1]}. Set loss.options.relations to true."
        )
    both = zip((unit(queries), unit(documents)), theirs, strict=True)
    return 1 - torch.cat([(ours * them).sum(1) for ours, them in both]).mean()


def _scored(
    queries: Tensor, documents: Tensor, edges: Edges
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return query, cosine, document and teacher's score of each edge that has one."""
    if edges.score is None:
        given, some = edges.grade, edges.allowed
    else:  # what is excluded from being pulled or pushed has a place in the teacher's order
        given, some = edges.score, ~edges.score.isnan()
    if not some.any():
        raise ValueError("the batch has no edge with a teacher's score.")
    query, document = edges.query[some], edges.document[some]
    cosines = pair_cosines(queries, documents, query, document)
    return query, cosines, document, given[some].detach().to(cosines.dtype)
