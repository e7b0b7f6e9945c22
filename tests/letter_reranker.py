"""A Reranker without weights, exact and slow in its own time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.progress import Progress, silent


class LetterReranker:
    """Counts the letters that two texts share, place by place: no cosine knows this order.

    It tells the time too: a second passes with each pair it reads.
    """

    fingerprint = "letters in their places"

    def __init__(self, pairs_per_second: float = 1.0) -> None:
        self.pairs_per_second = pairs_per_second
        self.now = 0.0
        self.waves: list[int] = []  # pairs of each call

    def clock(self) -> float:
        return self.now

    @staticmethod
    def like(query: str, document: str) -> float:
        return sum(a == b for a, b in zip(query, document, strict=False)) - len(document) / 64

    def score(self, query: str, documents: Sequence[str]) -> Tensor:
        places = torch.arange(len(documents))
        return self.score_pairs([query], documents, torch.stack([0 * places, places], dim=1))

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Tensor,
        *,
        progress: Progress = silent,
    ) -> Tensor:
        self.waves.append(len(pairs))
        self.now += len(pairs) / self.pairs_per_second
        return torch.tensor([self.like(queries[q], documents[d]) for q, d in pairs.tolist()])
