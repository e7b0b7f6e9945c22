"""The promise of every model that reads a query and a document together."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.progress import Progress, silent


@runtime_checkable
class Reranker(Protocol):
    """Says how well documents answer a query, better and slower than a cosine can."""

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score."""
        ...

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        """Return one logit per document, in the order given: the higher, the better the answer."""
        ...

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        """Return one logit per pair (place of a query, place of a document)."""
        ...


def pairs_of_one(count: int) -> Int[Tensor, "N 2"]:
    """Return the pairs of one query with so many documents."""
    places = torch.arange(count)
    return torch.stack([torch.zeros_like(places), places], dim=1)
