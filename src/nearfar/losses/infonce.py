"""InfoNCE with exact masks: each query finds its answer among the documents of the batch.

Shapes: Q queries, C documents, D dimensions.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.losses.blocks import blockwise
from nearfar.losses.checks import require, require_one_of, require_temperature
from nearfar.losses.edges import Edges
from nearfar.losses.searching import answers_of, equal_shares, searching, softened
from nearfar.losses.sums import DIRECTIONS, Sums, by_sums


def infonce(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
    directions: Sequence[str] = ("query_to_document",),
    joint: bool = False,
    hardness: float = 0.0,
    negatives: str = "batch",
    prefixes: Sequence[int] = (),
) -> Float[Tensor, ""]:
    """Mean surprise at finding each answer among the documents that are no known answers.

        loss = mean over positive edges (i, j) of
               -log( exp(s_ij / t) / (exp(s_ij / t) + sum over k in N_i of w_ik exp(s_ik / t)) )

    with s the cosine, N_i the documents of the batch that are not known to answer query i, and
    w_ik = exp(hardness * s_ik), not learned through. With one answer a query and hardness 0
    this is the field's multiple-negatives ranking loss; several answers of one query do not
    compete with each other. Never more than a block of rows of s is held.

    Args:
        queries: one row per unique query; lengths do not matter, only directions.
        documents: one row per unique document.
        edges: all judgments between them. Judged negatives need no mention: a document that
            is not a known answer is a negative already.
        temperature: t > 0, no unit; a tensor may learn. Libraries that say "scale" mean 1 / t.
        directions: who looks for what. "document_to_query" takes the queries that document j
            does not answer for negatives; "query_to_query" the queries that share no answer
            with query i; "document_to_document" the documents that share no query with j.
        joint: whether the negatives of all directions stand in one sum (GTE); else the loss is
            the mean over the directions.
        hardness: 0 or more: how much more the negatives count that are alike.
        negatives: "batch", or "own": only those that are judged 0 for the query.
        prefixes: the loss is the mean over these first dimensions of all vectors, ascending.

    Returns:
        A scalar in nats: 0 is perfect, about log(C) is a guess.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no edge is positive.

    Source: van den Oord et al. 2018, arXiv:1807.03748, eq. 4; negatives from the batch as in
        Henderson et al. 2017, arXiv:1705.00652, sec. 4.4; directions and joint as in Li et al.
        2023, arXiv:2308.03281, eq. 2-3; hardness as in Lan et al. 2025, arXiv:2503.04812,
        sec. 3.2. Ours differs in leaving all known answers and all excluded pairs out of the
        negatives.
    """
    require_temperature(temperature)
    require_one_of("negatives", negatives, ("batch", "own"))
    unique = bool(directions) and len(set(directions)) == len(directions)
    require(unique, "directions", "some, each once", directions)
    for direction in directions:
        require_one_of("directions", direction, DIRECTIONS)
    require(hardness >= 0, "hardness", "0 or more", hardness)
    answers = answers_of(edges)
    if joint or negatives == "own" or not set(directions) <= set(DIRECTIONS[:2]):
        chosen = Sums(edges, answers, tuple(directions), joint, hardness, negatives)
        dims = list(prefixes) or [queries.shape[1]]
        values = [by_sums(queries[:, :d], documents[:, :d], temperature, chosen) for d in dims]
        return torch.stack(values).mean()
    values = []
    for direction in directions:
        graph = edges if direction == "query_to_document" else edges.reversed()
        both = (queries, documents) if graph is edges else (documents, queries)
        pairs = answers if graph is edges else answers_of(graph)
        search = searching(pairs, graph.known, equal_shares(pairs), softened, hardness)
        values.append(blockwise(*both, temperature, search, prefixes))
    return torch.stack(values).mean()
