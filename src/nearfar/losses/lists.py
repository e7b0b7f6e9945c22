"""Lists of judged documents, one for each query: what losses of a reranker's scores look at.

Lists are of any length and stand one after another, so that there is nothing to pad.

Shapes: E edges, P entries of all lists.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.losses.checks import require_judged, require_one_of
from nearfar.losses.edges import Edges
from nearfar.losses.groups import log_sum_within, pairs_within

TARGETS = ("grade", "teacher")


@dataclass(frozen=True, slots=True)
class Lists:
    """The judged documents of each query, those of one query next to each other."""

    logits: Float[Tensor, " P"]
    target: Float[Tensor, " P"]  # what the logits are to agree with: never learned through
    grade: Float[Tensor, " P"]
    of: Int[Tensor, " P"]  # which list an entry belongs to, from 0, ascending

    @property
    def count(self) -> int:
        """How many lists there are."""
        return int(self.of[-1]) + 1

    @property
    def size(self) -> Int[Tensor, " P"]:
        """How long the list of each entry is."""
        return torch.bincount(self.of)[self.of]


def lists_of(scores: Float[Tensor, " E"], edges: Edges, target: str = "grade") -> Lists:
    """Return the lists of all edges that have the target: a teacher's score, or a grade to go by.

    Entries are in the order of their documents, so that the order of edges cannot matter. Scores
    become float32 or better: gaps between them are all that many losses see.

    Args:
        scores: one logit per edge.
        edges: what the scores are of.
        target: "grade" for the edges that are not excluded, or "teacher" for those it scored.

    Raises:
        BadSetting: another target.
        ValueError: there is not one score per edge, or no edge has the target.
    """
    require_one_of("target", target, TARGETS)
    if scores.shape != edges.query.shape:
        expected, found = tuple(edges.query.shape), tuple(scores.shape)
        raise ValueError(f"expected one score per edge, {expected}, found {found}.")
    if target == "teacher":  # in whose order what is excluded has a place too
        none = torch.full_like(edges.grade, torch.nan)
        given = none if edges.score is None else edges.score
        some = ~given.isnan()
        if not some.any():
            raise ValueError("the batch has no edge with a teacher's score.")
    else:
        given, some = edges.grade, require_judged(edges)
    kept = some.nonzero().squeeze(1)
    kept = kept[torch.argsort(edges.document[kept], stable=True)]
    kept = kept[torch.argsort(edges.query[kept], stable=True)]
    exact = scores if scores.dtype == torch.float64 else scores.float()
    _, of = torch.unique_consecutive(edges.query[kept], return_inverse=True)
    logits = exact[kept]
    return Lists(
        logits, given[kept].detach().to(logits.dtype), edges.grade[kept].to(logits.dtype), of
    )


def in_order(lists: Lists) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
    """Return the places of all pairs of one list whose first has the higher target.

    Raises:
        ValueError: there is none.
    """
    left, right = pairs_within(lists.of)
    higher = lists.target[left] > lists.target[right]
    if not higher.any():
        raise ValueError(
            "no query of the batch has two documents of which one is to stand above the other."
        )
    return left[higher], right[higher]


def several(lists: Lists) -> Lists:
    """Return the lists of two entries or more.

    Raises:
        ValueError: there is none.
    """
    shared = lists.size > 1
    if not shared.any():
        raise ValueError("no query of the batch has two documents to compare.")
    _, of = torch.unique_consecutive(lists.of[shared], return_inverse=True)
    return Lists(lists.logits[shared], lists.target[shared], lists.grade[shared], of)


def places(of: Int[Tensor, " P"], *keys: Float[Tensor, " P"]) -> Int[Tensor, " P"]:
    """Return the place of each entry in its list, from 1, in ascending order of the keys.

    The first key counts first; entries alike in all keys keep their order.
    """
    order = torch.arange(len(of), device=of.device)
    for key in (*reversed(keys), of):
        order = order[torch.argsort(key[order], stable=True)]
    counts = torch.bincount(of)
    before = counts.cumsum(0) - counts
    place = torch.empty_like(of)
    place[order] = torch.arange(1, len(of) + 1, device=of.device) - before[of]
    return place


def sum_within(
    values: Float[Tensor, " P"], of: Int[Tensor, " P"], count: int
) -> Float[Tensor, " G"]:
    """Return the sum of the values of each list."""
    return values.new_zeros(count).index_add(0, of, values)


def shares(weight: Float[Tensor, " P"], of: Int[Tensor, " P"]) -> Float[Tensor, " P"]:
    """Return weights that add up to 1 over all lists, and to the same within each that has any."""
    total = sum_within(weight, of, int(of.max()) + 1)
    some = total > 0
    return torch.where(some, 1 / total.masked_fill(~some, 1) / some.sum(), 0)[of] * weight


def log_shares(
    logits: Float[Tensor, " P"], of: Int[Tensor, " P"], count: int
) -> Float[Tensor, " P"]:
    """Return the log of the softmax over each list."""
    return logits - log_sum_within(logits, of, count)[of]
