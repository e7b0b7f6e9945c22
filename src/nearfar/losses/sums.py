"""InfoNCE in any directions, by way of one log-sum of negatives for each row and direction.

Slower by one product of matrices than the road of one direction in `infonce`, which must give
the same; but sums over different rows can meet in one term here.

Shapes: Q queries, C documents, R rows and S candidates of one direction, P answers, K pairs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.losses.blocks import Pairs, blockwise
from nearfar.losses.edges import Edges
from nearfar.losses.groups import LEAST, log_sum_within, pairs_within
from nearfar.losses.searching import log_sum, softened
from nearfar.vectors.similarity import pair_cosines, unit

DIRECTIONS = ("query_to_document", "document_to_query", "query_to_query", "document_to_document")


@dataclass(frozen=True, slots=True)
class Sums:
    """What is to be found, and among what."""

    edges: Edges
    answers: Pairs
    directions: tuple[str, ...]
    joint: bool
    hardness: float
    negatives: str


def by_sums(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    temperature: float | Tensor,
    chosen: Sums,
) -> Float[Tensor, ""]:
    """Return the mean surprise at each answer; see `infonce` for what the choices mean."""
    at = chosen.answers
    own = pair_cosines(queries, documents, at.row, at.column) / temperature  # (P,)
    found = []
    for direction in chosen.directions:
        sums = _negatives(queries, documents, temperature, chosen, direction)
        found.append(sums[at.row if direction.startswith("query") else at.column])
    if chosen.joint:
        return softened(torch.stack(found).logsumexp(0), own).mean()
    return torch.stack([softened(sums, own).mean() for sums in found]).mean()


def _negatives(
    queries: Tensor, documents: Tensor, temperature: float | Tensor, chosen: Sums, direction: str
) -> Float[Tensor, " R"]:
    """Return the log of the sum over the negatives of each row that looks."""
    edges, asking = chosen.edges, direction.startswith("query")
    graph, rows, others = (
        (edges, queries, documents) if asking else (edges.reversed(), documents, queries)
    )
    if direction in ("query_to_query", "document_to_document"):
        known, candidates = _sharing(graph.known, len(rows)), rows
    else:
        known, candidates = graph.known, others
    if chosen.negatives == "own":
        return _own(rows, candidates, temperature, graph, chosen.hardness)
    hot = torch.as_tensor(temperature, device=rows.device).to(unit(rows).dtype)
    sums: Tensor = _LogSums.apply(rows, candidates, hot, known, chosen.hardness)  # type: ignore[no-untyped-call]
    return sums


def _sharing(pairs: Int[Tensor, "K 2"], count: int) -> Int[Tensor, "M 2"]:
    """Return the pairs of rows that share a column, each row with itself among them."""
    left, right = pairs_within(pairs[:, 1])
    itself = torch.arange(count, device=pairs.device).expand(2, -1)
    return torch.cat([torch.stack([pairs[left, 0], pairs[right, 0]]), itself], dim=1).T


def _own(
    rows: Tensor, candidates: Tensor, temperature: float | Tensor, graph: Edges, hardness: float
) -> Float[Tensor, " R"]:
    """Return the log of the sum over the documents that are judged 0 for each row."""
    wrong = (graph.grade == 0) & graph.allowed
    row, column = graph.query[wrong], graph.document[wrong]
    cosines = pair_cosines(rows, candidates, row, column)
    logits = cosines / temperature + hardness * cosines.detach()
    return log_sum_within(logits, row, len(rows))


class _LogSums(torch.autograd.Function):
    """The log of the sum over the negatives of each row; computed again for the slopes."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, candidates: Tensor, hot: Tensor, known: Tensor, hardness: float
    ) -> Tensor:
        ctx.save_for_backward(rows, candidates, hot, known)
        ctx.hardness = hardness
        masked = Pairs.sorted(known[:, 0], known[:, 1])
        found = []

        def collect(cosines: Tensor, part: slice, temperature: Tensor) -> Tensor:
            found.append(log_sum(cosines, temperature, masked.within(part)[1], hardness))
            return cosines.new_zeros(())

        blockwise(rows, candidates, hot, collect)
        return torch.cat(found).clamp_min(LEAST)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        rows, candidates, hot, known = ctx.saved_tensors
        masked = Pairs.sorted(known[:, 0], known[:, 1])

        def weighted(cosines: Tensor, part: slice, temperature: Tensor) -> Tensor:
            sums = log_sum(cosines, temperature, masked.within(part)[1], ctx.hardness)
            some = above[0][part] != 0
            return (sums[some] * above[0][part][some]).sum()

        with torch.enable_grad():
            one, other, heat = (t.detach().requires_grad_() for t in (rows, candidates, hot))
            value = blockwise(one, other, heat, weighted)
        return *torch.autograd.grad(value, (one, other, heat)), None, None
