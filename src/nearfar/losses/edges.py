"""What is known between the queries and the documents of a batch.

Shapes: E edges, X excluded pairs, Q queries, C documents, G dimensions of a teacher's vectors.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def pairs_among(pairs: Int[Tensor, "K 2"], others: Int[Tensor, "M 2"]) -> Bool[Tensor, " K"]:
    """Return which of the pairs are among the others."""
    if not len(pairs) or not len(others):
        return torch.zeros(len(pairs), dtype=torch.bool, device=pairs.device)
    width = 1 + int(max(pairs[:, 1].max(), others[:, 1].max()))
    weights = pairs.new_tensor([width, 1])
    return torch.isin((pairs * weights).sum(1), (others * weights).sum(1))


@dataclass(frozen=True, slots=True)
class Edges:
    """Judgments between unique queries and unique documents; where there is none, unknown.

    A batch carries *every* judgment between its texts, also those through which no text came
    into the batch: only so can a loss be sure never to push a known answer away. Excluded are
    a document that is the query's own text, an answer known from a split that must not be
    learned from, and a pair on which two judgments contradict each other.
    """

    query: Int[Tensor, " E"]  # row among the queries
    document: Int[Tensor, " E"]  # row among the documents
    grade: Float[Tensor, " E"]  # above 0: an answer; 0: judged, and no answer
    excluded: Int[Tensor, "X 2"] | None = None  # rows (query, document): not pulled, not pushed
    # A teacher's, on its own scale; NaN: none. It may be learned of an excluded pair too.
    score: Float[Tensor, " E"] | None = None
    teacher: tuple[Float[Tensor, "Q G"], Float[Tensor, "C G"]] | None = None  # of another model

    @property
    def positive(self) -> Bool[Tensor, " E"]:
        """Which edges join a query to an answer that it is to be pulled to."""
        return (self.grade > 0) & self.allowed

    @property
    def allowed(self) -> Bool[Tensor, " E"]:
        """Which edges are not excluded."""
        own = torch.stack([self.query, self.document], dim=1)
        return ~pairs_among(own, self.aside)

    def only(self, some: Bool[Tensor, " E"]) -> "Edges":
        """Return some of the edges; what is excluded stays so."""
        return replace(
            self,
            query=self.query[some],
            document=self.document[some],
            grade=self.grade[some],
            score=None if self.score is None else self.score[some],
        )

    @property
    def known(self) -> Int[Tensor, "K 2"]:
        """Return the pairs (query, document) that are not to be pushed: answers and excluded."""
        answers = self.grade > 0
        pairs = torch.stack([self.query[answers], self.document[answers]], dim=1)
        return torch.cat([pairs, self.aside])

    @property
    def aside(self) -> Int[Tensor, "X 2"]:
        """Return the excluded pairs, none of them where none are."""
        return self.query.new_zeros((0, 2)) if self.excluded is None else self.excluded

    def excluding(self, pairs: Int[Tensor, "X 2"]) -> "Edges":
        """Return the same graph with more pairs (query, document) excluded."""
        return replace(self, excluded=torch.cat([self.aside, pairs]))

    def reversed(self) -> "Edges":
        """Return the same graph with documents that look for queries."""
        return Edges(
            self.document,
            self.query,
            self.grade,
            None if self.excluded is None else self.excluded.flip(1),
            self.score,
            None if self.teacher is None else (self.teacher[1], self.teacher[0]),
        )

    def to(self, device: torch.device) -> "Edges":
        """Return the same edges on another device."""
        return Edges(
            self.query.to(device),
            self.document.to(device),
            self.grade.to(device),
            None if self.excluded is None else self.excluded.to(device),
            None if self.score is None else self.score.to(device),
            None
            if self.teacher is None
            else (self.teacher[0].to(device), self.teacher[1].to(device)),
        )


class Loss(Protocol):
    """A number that falls as the vectors come to agree with the edges.

    Every option besides is a keyword with a default, so that any loss can be called like this.
    """

    def __call__(
        self, queries: Float[Tensor, "Q D"], documents: Float[Tensor, "C D"], edges: Edges
    ) -> Float[Tensor, ""]:
        """Return the loss of one batch; only the directions of the vectors count."""
        ...
