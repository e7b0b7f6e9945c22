"""Functions around any loss: Matryoshka, layers, quantisation, false negatives, spread.

Each takes a loss and returns one that is called the same way, so they can stand around each
other. Shapes: Q queries, C documents, D dimensions.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nearfar.losses.blocks import Pairs, blockwise
from nearfar.losses.checks import require, require_one_of
from nearfar.losses.edges import Edges
from nearfar.vectors.similarity import pair_cosines, unit

AnyLoss = Callable[..., Tensor]


def matryoshka(loss: AnyLoss, dims: Sequence[int]) -> AnyLoss:
    """Return the mean of a loss over the first d numbers of all vectors, for each d of `dims`.

    A loss that takes `prefixes` shares the products of one prefix with the next.

    Raises:
        BadSetting: dims are not some, different, each 1 or more; when called, one is above D.

    Source: Kusupati et al. 2022, arXiv:2205.13147, eq. 1, with equal weights; each prefix is
        compared by its own cosine.
    """
    dims = sorted(dims)
    fine = bool(dims) and dims[0] > 0 and len(set(dims)) == len(dims)
    require(fine, "matryoshka", "different dimensions of 1 or more", dims)
    shares_products = "prefixes" in inspect.signature(loss).parameters

    def nested(queries: Tensor, documents: Tensor, edges: Edges, **options: Any) -> Tensor:
        top = queries.shape[1]
        require(dims[-1] <= top, "matryoshka", f"at most the {top} numbers of a vector", dims)
        if shares_products:
            return loss(queries, documents, edges, prefixes=dims, **options)
        parts = [loss(queries[:, :d], documents[:, :d], edges, **options) for d in dims]
        return torch.stack(parts).mean()

    return nested


def layered(loss: AnyLoss, count: int) -> AnyLoss:
    """Return the mean of a loss over vectors of `count` layers, which stand side by side.

    With Matryoshka inside it is the two-dimensional one: any layer, any prefix.

    Source: Li et al. 2024, arXiv:2402.14776, sec. 3, without its term of alignment.
    """

    def layers(queries: Tensor, documents: Tensor, edges: Edges, **options: Any) -> Tensor:
        both = zip(queries.chunk(count, dim=1), documents.chunk(count, dim=1), strict=True)
        return torch.stack([loss(*pair, edges, **options) for pair in both]).mean()

    return layers


def quantised(loss: AnyLoss, kind: str) -> AnyLoss:
    """Return the mean of a loss of the vectors and of what storage will make of them.

    Rounding has no slope; the vectors feel the loss of the rounded ones as if they were these
    (straight through).

    Args:
        loss: any.
        kind: "int8": 255 steps between the lowest and the highest of each number in the batch;
            "binary": the sign of each number.

    Raises:
        BadSetting: another kind.

    Source: Bengio et al. 2013, arXiv:1308.3432, sec. 4 (straight-through).
    """
    require_one_of("quantisation", kind, tuple(_ROUNDED))
    round_ = _ROUNDED[kind]

    def both(queries: Tensor, documents: Tensor, edges: Edges, **options: Any) -> Tensor:
        q, d = unit(queries), unit(documents)
        rounded = [one + (round_(one, d) - one).detach() for one in (q, d)]
        plain = loss(q, d, edges, **options)
        return (plain + loss(*rounded, edges, **options)) / 2

    return both


def _int8(vectors: Tensor, stored: Tensor) -> Tensor:
    low, high = stored.detach().amin(0), stored.detach().amax(0)
    step = ((high - low) / 255).clamp_min(1e-12)
    return ((vectors - low) / step).round().clamp(0, 255) * step + low


def _binary(vectors: Tensor, stored: Tensor) -> Tensor:
    return torch.where(vectors >= 0, 1.0, -1.0).to(vectors.dtype)


_ROUNDED = {"int8": _int8, "binary": _binary}


def without_false_negatives(
    loss: AnyLoss, *, by: str, margin: float = 0.0, relative: bool = False
) -> AnyLoss:
    """Return a loss for which a document as near to a query as its answer is no negative.

        excluded: (i, k) with c_ik > m_i,   m_i = max over answers j of c_ij - margin
                                        or, relative, m_i = max over j of c_ij - margin * |c_ij|

    with c the cosine of a teacher's vectors, or of the vectors themselves without learning
    through it. Answers are never excluded; judged negatives may be.

    Args:
        loss: any.
        by: "teacher" (needs vectors of a teacher in the edges) or "itself".
        margin: subtracted from the answer's cosine, -2 to 2; relative: as a share of it.
        relative: how the margin is meant. The share is of the absolute value, so that a
            negative cosine is moved the same way.

    Raises:
        BadSetting: an option is out of its range; when called, the edges have no teacher.

    Source: Solatorio 2024, arXiv:2402.16829, eq. 3 (GISTEmbed), with margins as in Moreira et
        al. 2024, arXiv:2407.15831, sec. 3.
    """
    require_one_of("false_negatives", by, ("teacher", "itself"))
    require(-2 <= margin <= 2, "false_negative_margin", "-2 to 2", margin)

    def filtered(queries: Tensor, documents: Tensor, edges: Edges, **options: Any) -> Tensor:
        if by == "teacher":
            require(edges.teacher is not None, "false_negatives", "used with a teacher", by)
        seen = (queries, documents) if by == "itself" else edges.teacher
        assert seen is not None
        found = _as_near_as_answers(seen[0].detach(), seen[1].detach(), edges, margin, relative)
        return loss(queries, documents, edges.excluding(found), **options)

    return filtered


@torch.no_grad()
def _as_near_as_answers(
    queries: Tensor, documents: Tensor, edges: Edges, margin: float, relative: bool
) -> Tensor:
    answers = edges.positive
    row, column = edges.query[answers], edges.document[answers]
    own = pair_cosines(queries, documents, row, column)
    bar = own - margin * (own.abs() if relative else 1)
    bars = bar.new_full((len(queries),), float("inf"))  # no answer: no bar
    bars = bars.scatter_reduce(0, row, bar, "amax", include_self=False)
    known = Pairs.sorted(*edges.known.T)
    found = []

    def collect(cosines: Tensor, rows: slice, temperature: Tensor) -> Tensor:
        near = cosines > bars[rows, None]
        near[known.within(rows)[1]] = False
        pairs = near.nonzero()
        pairs[:, 0] += rows.start
        found.append(pairs)
        return cosines.new_zeros(())

    blockwise(queries, documents, 1.0, collect)
    return torch.cat(found)
