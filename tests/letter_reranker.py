"""A Reranker without weights, exact and slow in its own time."""

import math
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

    def seconds(self, query: str, document: str) -> float:
        """How long it reads one pair."""
        return 1 / self.pairs_per_second

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
        self.now += sum(self.seconds(queries[q], documents[d]) for q, d in pairs.tolist())
        return torch.tensor([self.like(queries[q], documents[d]) for q, d in pairs.tolist()])


class LongReader(LetterReranker):
    """Takes longer for longer texts, as models do: until it cuts them, at 6 characters a token."""

    def __init__(self, max_tokens: int | None = None, *, seconds_per_pair: float = 0.0) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.seconds_per_pair = seconds_per_pair

    def seconds(self, query: str, document: str) -> float:
        most = math.inf if self.max_tokens is None else 6 * self.max_tokens
        return self.seconds_per_pair + min(len(query) + len(document), most)
