"""Diagnosis while it runs: what a batch shows of the space, or of the scores.

Shapes: Q queries, C documents, D dimensions, K known pairs, N rows.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.losses.edges import Edges
from nearfar.losses.groups import pairs_within
from nearfar.vectors.similarity import unit


@torch.no_grad()
def diagnose(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    rows: int = 512,
) -> dict[str, float]:
    """Return what the vectors of one batch show, beside its loss.

    It costs little whatever the batch: vectors are looked at by evenly taken samples of at most
    `rows` edges, queries and documents; only what needs no vectors is counted over all.

    Args:
        queries: one row per unique query; lengths do not matter, only directions.
        documents: one row per unique document.
        edges: all judgments between them.
        rows: most edges, queries and documents looked at; no matrix is larger than rows x rows.

    Returns:
        Numbers by name; one that the batch cannot tell (no answer, one document) is left out.
        alignment: mean of ‖q - d‖² over positive edges, 0 to 4, down is good.
        uniformity: log of the mean of exp(-2 ‖d - d'‖²) over pairs of documents, -8 to 0, down
            is good; 0 is all in one place, -4 all at right angles.
        positive_similarity: mean cosine of positive edges, -1 to 1.
        hardest_negative_similarity: mean over queries of the highest cosine with a document of
            the sample that is neither a known answer nor excluded, -1 to 1.
        chance_loss: mean over positive edges of log(1 + N), N the documents of the batch that
            are not known for the query: the InfoNCE of a guess, in nats.
        masked_share: of the pairs that a loss would push that knows of one answer a query only,
            how many may not be pushed, 0 to 1.

    Source: alignment and uniformity of Wang and Isola 2020, arXiv:2005.10242, eq. 3-4, with
        exponent 2 and t = 2, on unit vectors.
    """
    width = len(documents)
    known = torch.unique(edges.known[:, 0] * width + edges.known[:, 1])  # (K,) once each
    positive = edges.positive
    query, document = edges.query[positive], edges.document[positive]
    found = _counted(known, query, len(queries), width)
    # Under autocast the products would be taken in bfloat16.
    with torch.autocast(queries.device.type, enabled=False):
        if len(query):
            some = _evenly(len(query), rows, query.device)
            own, answers = unit(queries[query[some]]), unit(documents[document[some]])
            found["alignment"] = (own - answers).square().sum(1).mean()
            found["positive_similarity"] = (own * answers).sum(1).mean()
        asking = _evenly(len(queries), rows, queries.device)
        among = _evenly(width, rows, documents.device)
        candidates = unit(documents[among])
        if len(candidates) > 1:
            found["uniformity"] = _uniformity(candidates)
        cosines = unit(queries[asking]) @ candidates.T  # (N, N) at most
    row, column = (
        _places(asking, len(queries))[known // width],
        _places(among, width)[known % width],
    )
    here = (row >= 0) & (column >= 0)
    # A mask of -inf cannot win, whatever the cosines are.
    hardest = cosines.index_put((row[here], column[here]), cosines.new_tensor(-torch.inf)).amax(1)
    hardest = hardest[hardest.isfinite()]
    if len(hardest):
        found["hardest_negative_similarity"] = hardest.mean()
    values = torch.stack([value.double() for value in found.values()]).tolist()
    return dict(zip(found, values, strict=True))


@torch.no_grad()
def diagnose_scores(scores: Float[Tensor, " E"], edges: Edges) -> dict[str, float]:
    """Return what the scores of one batch of judged pairs show, beside its loss.

    Args:
        scores: one logit per edge.
        edges: none of them excluded.

    Returns:
        Numbers by name; one that the batch cannot tell is left out.
        positive_score, negative_score: mean logit of the answers, and of all others.
        score_spread: standard deviation of all logits; 0 says nothing of any pair.
        ordered_share: of the pairs of an answer and another document of one query, how many
            stand in the right order, 0 to 1; equals count half.
        chance_loss: mean over answers of log(1 + N), N the documents of the query that are no
            answers: the listwise softmax of a guess, in nats.
    """
    positive = edges.grade > 0
    found = {"score_spread": scores.double().std(unbiased=False)}
    if positive.any():
        found["positive_score"] = scores[positive].double().mean()
        wrong = torch.bincount(edges.query[~positive], minlength=int(edges.query.max()) + 1)
        found["chance_loss"] = wrong[edges.query[positive]].double().log1p().mean()
    if not positive.all():
        found["negative_score"] = scores[~positive].double().mean()
    left, right = pairs_within(edges.query)
    both = positive[left] & ~positive[right]
    if both.any():
        gap = scores[left[both]] - scores[right[both]]
        found["ordered_share"] = (0.5 + 0.5 * gap.sign().double()).mean()
    values = torch.stack(list(found.values())).tolist()
    return dict(zip(found, values, strict=True))


def _counted(known: Tensor, query: Tensor, queries: int, documents: int) -> dict[str, Tensor]:
    """Return what is counted over the whole batch, without looking at a vector.

    Args:
        known: (K,) pairs that are not pushed, each as query * documents + document.
        query: of each positive edge.
        queries: how many there are.
        documents: how many there are.
    """
    found = {}
    if len(query):
        hidden = torch.bincount(known // documents, minlength=queries)
        found["chance_loss"] = (documents - hidden[query]).double().log1p().mean()
    answered = len(torch.unique(query))
    rest = queries * documents - answered
    found["masked_share"] = known.new_tensor(len(known) - answered).double() / max(rest, 1)
    return found


def _uniformity(vectors: Float[Tensor, "N D"]) -> Tensor:
    # By products: differences of all pairs would be N x N x D.
    squares = vectors.square().sum(1)
    apart = (squares[:, None] + squares - 2 * vectors @ vectors.T).clamp_min(0)
    apart.fill_diagonal_(torch.inf)
    count = len(vectors) * (len(vectors) - 1)
    return (-2 * apart.double()).flatten().logsumexp(0) - math.log(count)


def _evenly(count: int, most: int, device: torch.device) -> Int[Tensor, " N"]:
    taken = min(count, most)
    return torch.arange(taken, device=device) * count // max(taken, 1)


def _places(rows: Int[Tensor, " N"], count: int) -> Int[Tensor, " M"]:
    """Return for each of `count` rows where it stands in a sample, -1 if it is not there."""
    found = rows.new_full((count,), -1)
    found[rows] = torch.arange(len(rows), device=rows.device)
    return found
