"""Losses of all pairs of a batch without ever holding all pairs: memory O(N * D), never N x N.

A loss that sums over queries is computed for some queries at a time: their cosines with all
documents, the loss of these rows, the slopes of that loss at the cosines, and from them at once
what the queries and the documents feel. Only the sums are kept.

Shapes: Q queries, C documents, D dimensions, P prefixes, b queries of a block, K known pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Cosines of a block with its slopes stay in the cache of a core (LOG.md).
_NUMBERS_AT_ONCE = 1_000_000

# From the cosines (b, C) of a block, its rows and the temperature, to the block's share of the
# loss: to be added up, so divided already.
BlockLoss = Callable[[Tensor, slice, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Some pairs of a query and a document, in the order of their queries."""

    row: Int[Tensor, " K"]
    column: Int[Tensor, " K"]

    @classmethod
    def sorted(cls, row: Int[Tensor, " K"], column: Int[Tensor, " K"]) -> "Pairs":
        """Put pairs in order."""
        order = torch.argsort(row, stable=True)
        return cls(row[order], column[order])

    def within(self, rows: slice) -> tuple[slice, tuple[Tensor, Tensor]]:
        """Return which pairs are of some rows, and where they stand in the block of these."""
        ends = torch.tensor([rows.start, rows.stop], device=self.row.device)
        start, stop = torch.searchsorted(self.row, ends).tolist()
        pairs = slice(start, stop)
        return pairs, (self.row[pairs] - rows.start, self.column[pairs])


def blockwise(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    temperature: float | Tensor,
    loss: BlockLoss,
    prefixes: Sequence[int] = (),
) -> Float[Tensor, ""]:
    """Return the sum over blocks of queries of a loss of their cosines with all documents.

    Args:
        queries: one row each; lengths do not matter, only directions.
        documents: one row each.
        temperature: handed on to the loss; a tensor may learn.
        loss: of one block.
        prefixes: dimensions, ascending. The mean over them of the loss of the first d numbers
            of all vectors. The products of a prefix are those of the one before it and some
            more, so that several cost little more than the last alone.
    """
    kind = torch.float64 if queries.dtype == torch.float64 else torch.float32
    hot = torch.as_tensor(temperature, dtype=kind, device=queries.device)
    if not prefixes:
        both = [_unit(vectors.to(kind)) for vectors in (queries, documents)]
        result: Tensor = _Blockwise.apply(*both, None, None, hot, loss, [])  # type: ignore[no-untyped-call]
        return result
    both = [vectors.to(kind) for vectors in (queries, documents)]
    # One over the length of each vector's first d numbers; their slopes autograd knows.
    scales = [torch.stack([_scale(vectors[:, :d]) for d in prefixes]) for vectors in both]
    result = _Blockwise.apply(*both, *scales, hot, loss, list(prefixes))  # type: ignore[no-untyped-call]
    return result


def _scale(vectors: Float[Tensor, "N d"]) -> Float[Tensor, "N 1"]:
    # Clamped before the root is taken: a row of zeros has a slope of zero.
    squares: Tensor = torch.linalg.vecdot(vectors, vectors)
    return squares.unsqueeze(1).clamp_min(1e-24).rsqrt()


def _unit(vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    result: Tensor = _Unit.apply(vectors)  # type: ignore[no-untyped-call]
    return result


class _Unit(torch.autograd.Function):
    """Vectors of length 1, with one table of numbers kept for the slopes rather than five."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        scale = _scale(vectors)
        unit = vectors * scale
        ctx.save_for_backward(unit, scale)
        return unit

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Tensor:
        # What points along a vector changes its length alone, and that does not count.
        unit, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(above[0], unit).unsqueeze(1)
        found: Tensor = torch.addcmul(above[0], unit, along, value=-1).mul_(scale)
        return found


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        documents: Tensor,
        query_scales: Tensor | None,
        document_scales: Tensor | None,
        temperature: Tensor,
        loss: BlockLoss,
        prefixes: Sequence[int],
    ) -> Tensor:
        tensors = (queries, documents, query_scales, document_scales, temperature)
        given = _Parts(*(None if tensor is None else tensor.detach() for tensor in tensors))
        slopes = None
        if any(ctx.needs_input_grad):
            slopes = _Parts(*(None if t is None else torch.zeros_like(t) for t in tensors))
        total = queries.new_zeros(())
        step = max(_NUMBERS_AT_ONCE // (max(len(prefixes), 1) * len(documents)), 1)
        for start in range(0, len(queries), step):
            rows = slice(start, min(start + step, len(queries)))
            total += _block(given, slopes, rows, loss, prefixes)
        ctx.slopes = slopes
        return total

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        found = ctx.slopes
        slopes = (found.queries, found.documents, found.query_scales, found.document_scales,
                  found.temperature)  # fmt: skip
        if above[0].item() == 1:  # as it is at the end of most graphs: nothing is to be copied
            return *slopes, None, None
        return *(None if slope is None else slope * above[0] for slope in slopes), None, None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a block is computed from, or the slopes of the loss at it."""

    queries: Any  # (Q, D)
    documents: Any  # (C, D)
    query_scales: Any  # (P, Q, 1), or None: they have length 1
    document_scales: Any  # (P, C, 1)
    temperature: Any


def _block(
    given: _Parts, slopes: _Parts | None, rows: slice, loss: BlockLoss, prefixes: Sequence[int]
) -> Tensor:
    """Return the loss of some queries; add what all vectors feel of it to the slopes."""
    queries, documents = given.queries[rows], given.documents
    bounds = list(pairwise([0, *(prefixes or [queries.shape[1]])]))
    total: Tensor = queries.new_zeros(())
    products: Tensor | None = None
    felt: list[Tensor] = []  # slopes at the products of each prefix
    for place, (low, high) in enumerate(bounds):
        factors = queries[:, low:high], documents[:, low:high].T
        products = torch.mm(*factors) if products is None else torch.addmm(products, *factors)
        scores = products
        if prefixes:
            mine, theirs = given.query_scales[place, rows], given.document_scales[place].T
            scores = products * mine * theirs
        value, slope = _slope(scores, rows, given, slopes, loss, 1 / len(bounds))
        total += value
        if slopes is None or slope is None:
            continue
        if prefixes:
            turned = slope * scores
            slopes.query_scales[place, rows] += turned.sum(1, keepdim=True) / mine
            slopes.document_scales[place] += (turned.sum(0, keepdim=True) / theirs).T
            slope *= mine * theirs
        felt.append(slope)
    if slopes is not None and felt:
        _pass_on(felt, bounds, given, slopes, rows)
    return total


def _slope(
    scores: Tensor, rows: slice, given: _Parts, slopes: _Parts | None, loss: BlockLoss, share: float
) -> tuple[Tensor, Tensor | None]:
    """Return the loss of one block and prefix, and its slope at each cosine."""
    if slopes is None:
        return loss(scores, rows, given.temperature) * share, None
    with torch.enable_grad():
        leaf, hot = scores.detach().requires_grad_(), given.temperature.requires_grad_()
        value = loss(leaf, rows, hot) * share
    if not value.requires_grad:  # nothing in these rows is known
        return value, None
    slope, turned = torch.autograd.grad(value, (leaf, hot), materialize_grads=True)
    slopes.temperature.add_(turned)
    return value.detach(), slope


def _pass_on(
    felt: Sequence[Tensor], bounds: Sequence[tuple[int, int]], given: _Parts, slopes: _Parts,
    rows: slice,
) -> None:  # fmt: skip
    """Add what queries and documents feel: each number is of its prefix and all longer ones."""
    above: Tensor | None = None
    for slope, (low, high) in zip(reversed(felt), reversed(bounds), strict=True):
        above = slope if above is None else above + slope
        slopes.queries[rows, low:high] += above @ given.documents[:, low:high]
        slopes.documents[:, low:high].addmm_(above.T, given.queries[rows, low:high])
