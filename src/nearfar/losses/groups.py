"""Sums and pairs within groups: entries that belong to one row, or to one column.

Shapes: P entries, M pairs of them, G groups.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

LEAST = -1e30  # for -inf, the log of an empty sum: two of them can be added without becoming NaN


def pairs_within(group: Int[Tensor, " P"]) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
    """Return the places of all ordered pairs of entries of one group, each with itself too."""
    order = torch.argsort(group, stable=True)
    _, counts = torch.unique_consecutive(group[order], return_counts=True)
    size = counts.repeat_interleave(counts)  # of the group of each entry
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    left = torch.arange(len(group), device=group.device).repeat_interleave(size)
    within = torch.arange(len(left), device=group.device)
    within = within - (size.cumsum(0) - size).repeat_interleave(size)
    return order[left], order[first.repeat_interleave(size) + within]


def log_sum_within(
    logits: Float[Tensor, " P"], group: Int[Tensor, " P"], count: int
) -> Float[Tensor, " G"]:
    """Return the log of the sum of exp(logits) of each group; LEAST where it is empty."""
    top = logits.detach().new_full((count,), LEAST)
    top = top.scatter_reduce(0, group, logits.detach(), "amax")
    sums = torch.zeros_like(top).index_add(0, group, (logits - top[group]).exp())
    empty = sums == 0
    return torch.where(empty, top, top + sums.masked_fill(empty, 1).log())
