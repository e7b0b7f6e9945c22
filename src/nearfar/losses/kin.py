"""The kin of InfoNCE, all over blocks of the batch: decoupled, supervised, sigmoid.

Shapes: Q queries, C documents, D dimensions, P positive edges.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from nearfar.losses.blocks import Pairs, blockwise
from nearfar.losses.checks import require_temperature
from nearfar.losses.edges import Edges
from nearfar.losses.groups import LEAST
from nearfar.losses.searching import answers_of, equal_shares, searching


def decoupled_contrastive(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
    prefixes: Sequence[int] = (),
) -> Float[Tensor, ""]:
    """InfoNCE whose answer does not stand below the line: it goes on pulling what is near.

        loss = mean over positive edges (i, j) of
               log( sum over k in N_i of exp(s_ik / t) ) - s_ij / t

    with s the cosine and N_i the documents of the batch that are not known to answer query i.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them.
        temperature: t > 0, no unit.
        prefixes: the loss is the mean over these first dimensions of all vectors, ascending.

    Returns:
        A scalar in nats, from -2 / t on; log(C - 1) is a guess, 0 a query without negatives.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no edge is positive.

    Source: Yeh et al. 2022, arXiv:2110.06848, eq. 6, with equal weights.
    """
    require_temperature(temperature)
    answers = answers_of(edges)
    search = searching(answers, edges.known, equal_shares(answers), _difference)
    return blockwise(queries, documents, temperature, search, prefixes)


def supervised_contrastive(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.05,
    prefixes: Sequence[int] = (),
) -> Float[Tensor, ""]:
    """Mean surprise at the answers of each query among all documents, other answers included.

        loss = mean over queries i of mean over their answers j of
               -log( exp(s_ij / t) / sum over k of exp(s_ik / t) )

    with s the cosine and k over all documents that are not excluded. With edges between all
    texts of one label this is supervised contrastive learning; a text paired with itself has
    to be excluded.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them.
        temperature: t > 0, no unit.
        prefixes: the loss is the mean over these first dimensions of all vectors, ascending.

    Returns:
        A scalar in nats; with p answers a query it does not fall below log(p).

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no edge is positive.

    Source: Khosla et al. 2020, arXiv:2004.11362, eq. 2 (L_out).
    """
    require_temperature(temperature)
    answers = answers_of(edges)
    _, counts = torch.unique_consecutive(answers.row, return_counts=True)
    share = (1 / counts.float() / len(counts)).repeat_interleave(counts)
    search = searching(answers, edges.aside, share, _difference)
    return blockwise(queries, documents, temperature, search, prefixes)


def sigmoid(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    temperature: float | Tensor = 0.1,
    bias: float = -10.0,
    prefixes: Sequence[int] = (),
) -> Float[Tensor, ""]:
    """Each pair of the batch is judged by itself: belongs together, or does not.

        loss = -1/Q * sum over all pairs (i, j) of log sigmoid( z_ij (s_ij / t + b) )

    with s the cosine, z = 1 for answers and -1 for all others that are not excluded.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them.
        temperature: t > 0, no unit.
        bias: b, no unit; -10 lets nearly all pairs begin as strangers.
        prefixes: the loss is the mean over these first dimensions of all vectors, ascending.

    Returns:
        A scalar in nats a query, 0 or more.

    Raises:
        BadSetting: temperature is not above 0.
        ValueError: no edge is positive.

    Source: Zhai et al. 2023, arXiv:2303.15343, eq. 1; ours leaves excluded pairs out.
    """
    require_temperature(temperature)
    answers = answers_of(edges)
    hidden = Pairs.sorted(*edges.aside.T)

    def judging(cosines: Tensor, rows: slice, hot: Tensor) -> Tensor:
        logits = cosines / hot + bias
        near = answers.within(rows)[1]
        logits = logits.index_put(near, -logits[near])
        return softplus(logits.index_put(hidden.within(rows)[1], _never(logits))).sum() / len(
            queries
        )

    return blockwise(queries, documents, temperature, judging, prefixes)


def _difference(negatives: Tensor, own: Tensor) -> Tensor:
    # Without negatives there is nothing to be told apart from.
    return torch.where(negatives.isneginf(), 0, negatives.clamp_min(LEAST) - own)


def _never(logits: Tensor) -> Tensor:
    return logits.new_tensor(float("-inf"))
