"""InfoNCE with exact masks: each query finds its answer among the documents of the batch.

Shapes: Q queries, C documents, D dimensions, E edges, P positive edges.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses.edges import Edges
from nearfar.vectors.similarity import cosine


def infonce(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float = 0.05,
) -> Float[Tensor, ""]:
    """Mean surprise at finding each answer among the documents that are no known answers.

        loss = mean over positive edges (i, j) of
               -log( exp(s_ij / t) / (exp(s_ij / t) + sum over k in N_i of exp(s_ik / t)) )

    with s the cosine and N_i the documents of the batch that are not known to answer query i.
    With one answer a query this is the field's multiple-negatives ranking loss; several
    answers of one query do not compete with each other.

    Args:
        queries: one row per unique query; lengths do not matter, only directions.
        documents: one row per unique document.
        edges: all judgments between them. Judged negatives need no mention: a document that
            is not a known answer is a negative already.
        temperature: t > 0, no unit. Libraries that say "scale" mean 1 / t.

    Returns:
        A scalar in nats: 0 is perfect, about log(C) is a guess.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no edge is positive.

    Source: van den Oord et al. 2018, arXiv:1807.03748, eq. 4; negatives from the batch as in
        Henderson et al. 2017, arXiv:1705.00652, sec. 4.4. Ours differs in leaving all known
        answers and all excluded pairs out of the negatives.
    """
    if not temperature > 0:
        raise BadSetting(f"loss.temperature must be above 0, got {temperature}.")
    positive = edges.positive
    if not positive.any():
        raise ValueError("the batch has no positive edge, so there is nothing to learn from.")
    rows, columns = edges.query[positive], edges.document[positive]  # (P,)
    scores = cosine(queries, documents) / temperature  # (Q, C)

    known = torch.zeros_like(scores, dtype=torch.bool)
    known[rows, columns] = True
    if edges.excluded is not None:
        known |= edges.excluded
    # After the division: a mask must not depend on the temperature. A query without any
    # negative gets -inf here, and below a loss of exactly 0 with no gradient.
    negatives = scores.masked_fill(known, float("-inf")).logsumexp(1)  # (Q,)

    own = scores[rows, columns]  # (P,)
    return torch.nn.functional.softplus(negatives[rows] - own).mean()
