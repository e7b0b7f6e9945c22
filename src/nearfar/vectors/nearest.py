"""Exact nearest neighbours: the one search that mining, evaluation and the index share.

Shapes: Q queries, C candidates, D dimensions, K places, R rows of one block,
S chosen rows.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

# 1,024 queries by 16,384 candidates are 64 MiB of scores: the most that stands in memory.
_QUERY_ROWS = 1_024
_CANDIDATE_ROWS = 16_384


def nearest(
    queries: Float[Tensor, "Q D"],
    candidates: Float[Tensor, "C D"],
    k: int,
    *,
    among: Int[Tensor, " S"] | None = None,
    block_rows: int = _CANDIDATE_ROWS,
) -> tuple[Float[Tensor, "Q K"], Int[Tensor, "Q K"]]:
    """Return the k highest dot products and their rows, best first; K = min(k, C).

    The vectors are taken as they are: give unit vectors, and the scores are cosines. Equal
    scores keep the order of the candidates, also at the k-th place, so a ranking can be
    repeated. The scores are computed in float32 on the queries' device, block by block:
    candidates may be memory-mapped and larger than memory, and are read once.

    Args:
        queries: one row per query.
        candidates: one row per candidate, of any float type, on any device.
        k: how many places to fill, 1 or more.
        among: the only rows of `candidates` to look at, ascending; K is then min(k, S).
        block_rows: candidates scored at once. Another size can move a score by its last bits.

    Returns:
        Scores, and the row of `candidates` that each belongs to.

    Raises:
        ValueError: k or block_rows is below 1, the widths differ, or a score is not a number.
    """
    if k < 1 or block_rows < 1:
        raise ValueError(f"k and block_rows must be 1 or more, got {k} and {block_rows}.")
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions and candidates {candidates.shape[1]}; "
            "nearest compares vectors of one space."
        )
    queries = queries.detach().float()
    best = queries.new_empty((len(queries), 0))
    rows = torch.empty((len(queries), 0), dtype=torch.long, device=queries.device)
    for start in range(0, len(candidates if among is None else among), block_rows):
        chosen = slice(start, start + block_rows)  # a slice is a view: nothing is copied
        block = candidates[chosen if among is None else among[chosen]].detach()
        scores, places = _block_best(queries, block.to(queries.device, torch.float32), k)
        # Earlier rows stand first, so a stable sort keeps the order of the candidates.
        merged = torch.cat([best, scores], dim=1).sort(dim=1, descending=True, stable=True)
        best = merged.values[:, :k]
        rows = torch.cat([rows, places + start], dim=1).gather(1, merged.indices[:, :k])
    return best, rows if among is None else among.to(rows.device)[rows]


def _block_best(
    queries: Float[Tensor, "Q D"], block: Float[Tensor, "R D"], k: int
) -> tuple[Float[Tensor, "Q K"], Int[Tensor, "Q K"]]:
    parts = [_best(some @ block.T, k) for some in torch.split(queries, _QUERY_ROWS)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _best(scores: Float[Tensor, "Q R"], k: int) -> tuple[Float[Tensor, "Q K"], Int[Tensor, "Q K"]]:
    """Return the k best of each row; among equals, those that stand first."""
    if scores.isnan().any():
        raise ValueError(
            "a score is not a number: a query or a candidate holds NaN or infinity. "
            "Look at the texts or the model these vectors came from."
        )
    if scores.shape[1] <= k:
        whole = scores.sort(dim=1, descending=True, stable=True)
        return whole.values, whole.indices
    # topk takes any of the equals. Whether that mattered, the place after the last one tells.
    top = scores.topk(k + 1, dim=1)
    places = top.indices[:, :k]
    torn = (top.values[:, k - 1] == top.values[:, k]).nonzero().squeeze(1)
    if len(torn):
        places[torn] = _first_among_equals(scores[torn], top.values[torn, k - 1], k)
    places = places.sort(dim=1).values
    kept = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return kept.values, places.gather(1, kept.indices)


def _first_among_equals(
    scores: Float[Tensor, "Q R"], last: Float[Tensor, " Q"], k: int
) -> Int[Tensor, "Q K"]:
    """Return the places of all scores above `last`, filled up to k with the first equal ones."""
    above = scores > last[:, None]
    equal = scores == last[:, None]
    room = k - above.sum(dim=1, keepdim=True)
    keep = above | (equal & (equal.cumsum(dim=1) <= room))  # exactly k in each row
    return keep.nonzero()[:, 1].reshape(len(scores), k)
