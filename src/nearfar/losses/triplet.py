"""Triplets: a query is to be nearer to its answer than to what is none, by a margin.

Shapes: Q queries, C documents, D dimensions, P positive edges, b of them at a time.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from nearfar.losses.checks import require, require_one_of
from nearfar.losses.edges import Edges
from nearfar.losses.searching import answers_of
from nearfar.vectors.similarity import unit

_NUMBERS_AT_ONCE = 4_000_000


def triplet(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    margin: float = 0.2,
    distance: str = "cosine",
    negatives: str = "batch",
    select: str = "all",
    soft: bool = False,
) -> Float[Tensor, ""]:
    """Pull each answer nearer than the negatives of its query.

        loss = mean over triplets (i, j, k) of max(0, d_ij - d_ik + m)
               or, soft, of log(1 + exp(d_ij - d_ik))

    with j an answer of query i and k a document that is not known to answer it.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them.
        margin: m, 0 or more, in units of the distance; unused when soft.
        distance: of unit vectors: "cosine" (1 - cosine, 0 to 2), "euclidean" (0 to 2) or
            "manhattan" (0 to 2 sqrt(D)).
        negatives: "batch", or "own": only what is judged 0 for the query.
        select: "all" triplets: the mean is over those that still violate the margin; when soft,
            over all. "hardest": the nearest negative of each query with its farthest answer.
            "semihard": for each answer the nearest negative beyond it; where there is none, the
            farthest one.
        soft: without a margin: what is far apart already is still pushed a little.

    Returns:
        A scalar, 0 or more; 0 where nothing violates the margin, or nothing is a negative.

    Raises:
        BadSetting: an option is out of its range.
        ValueError: no edge is positive.

    Source: Hermans et al. 2017, arXiv:1703.07737, eq. 5 (hardest), eq. 6 (all; mean over the
        non-zero ones as in sec. 3.2) and sec. 2 (soft); Schroff et al. 2015, arXiv:1503.03832,
        sec. 3.2 (semihard).
    """
    require(0 <= margin < math.inf, "margin", "0 or more", margin)
    require_one_of("distance", distance, ("cosine", "euclidean", "manhattan"))
    require_one_of("negatives", negatives, ("batch", "own"))
    require_one_of("select", select, ("all", "hardest", "semihard"))
    answers = answers_of(edges)
    q, d = unit(queries), unit(documents)
    width = len(documents) * (queries.shape[1] if distance == "manhattan" else 1)
    size = max(_NUMBERS_AT_ONCE // width, 1)

    def part_of(q: Tensor, d: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        apart = _distance(q[rows], d, distance)  # (b, C)
        may_push = _may_push(edges, rows, len(documents), negatives)
        own = apart.gather(1, columns.unsqueeze(1)).squeeze(1)
        violation, counts = _violations(own, apart, may_push, rows, select)
        value = softplus(violation) if soft else (violation + margin).clamp_min(0)
        if select == "all" and not soft:
            counts = counts & (value.detach() > 0)
        return value.masked_fill(~counts, 0).sum(), counts.sum()

    total, count = q.sum() * 0 + d.sum() * 0, torch.zeros((), device=q.device)
    # Answers of one query stand together, and one query is never divided between two parts.
    _, counts = torch.unique_consecutive(answers.row, return_counts=True)
    part = (counts.cumsum(0) - counts) // size  # which part each query falls into
    for rows in torch.split(answers.row, _sums(counts, part)):
        begin = int(torch.searchsorted(answers.row, rows[0]))
        columns = answers.column[begin : begin + len(rows)]
        # Computed again for the slopes: of all parts together nothing but the vectors is kept.
        value, some = checkpoint(part_of, q, d, rows, columns, use_reentrant=False)
        total, count = total + value, count + some
    return total / count.clamp_min(1)


def _sums(counts: Tensor, part: Tensor) -> list[int]:
    sums = torch.zeros(int(part.max()) + 1, dtype=counts.dtype, device=counts.device)
    found: list[int] = [n for n in sums.index_add(0, part, counts).tolist() if n]
    return found


def _distance(queries: Tensor, documents: Tensor, kind: str) -> Tensor:
    if kind == "manhattan":
        return (queries.unsqueeze(1) - documents.unsqueeze(0)).abs().sum(-1)
    cosines = queries @ documents.T
    if kind == "cosine":
        return 1 - cosines
    # Clamped: the root has no slope at 0, where a vector meets itself.
    return (2 - 2 * cosines).clamp_min(1e-12).sqrt()


def _may_push(edges: Edges, rows: Tensor, width: int, negatives: str) -> Tensor:
    """Return for each row which documents are negatives of its query."""
    first, last = int(rows[0]), int(rows[-1])
    wanted = negatives == "own"
    if wanted:
        wrong = (edges.grade == 0) & edges.allowed
        pairs = torch.stack([edges.query[wrong], edges.document[wrong]], dim=1)
    else:
        pairs = edges.known
    pairs = pairs[(pairs[:, 0] >= first) & (pairs[:, 0] <= last)]
    table = torch.full((last - first + 1, width), not wanted, device=rows.device)
    table[pairs[:, 0] - first, pairs[:, 1]] = wanted
    return table[rows - first]


def _violations(
    own: Tensor, apart: Tensor, may_push: Tensor, rows: Tensor, select: str
) -> tuple[Tensor, Tensor]:
    """Return d_ij - d_ik of the chosen triplets, and which of them there are."""
    if select == "all":
        return own.unsqueeze(1) - apart, may_push
    some = may_push.any(1)
    far = torch.finfo(apart.dtype).max
    nearest = apart.masked_fill(~may_push, far)
    if select == "hardest":
        place = rows - rows[0]
        farthest = own.new_full((int(place[-1]) + 1,), -1.0)
        farthest = farthest.scatter_reduce(0, place, own, "amax", include_self=False)
        new = torch.ones_like(some)
        new[1:] = rows[1:] != rows[:-1]  # one triplet a query, not one an answer
        return _difference(farthest[place], nearest.amin(1), some), some & new
    beyond = may_push & (apart > own.unsqueeze(1))
    farthest_one = apart.masked_fill(~may_push, -1.0).amax(1)
    semihard = apart.masked_fill(~beyond, far).amin(1)
    chosen = torch.where(beyond.any(1), semihard, farthest_one)
    return _difference(own, chosen, some), some


def _difference(own: Tensor, other: Tensor, some: Tensor) -> Tensor:
    return torch.where(some, own - other.masked_fill(~some, 0), 0)
