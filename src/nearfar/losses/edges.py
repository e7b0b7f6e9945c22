"""What is known between the queries and the documents of a batch.

Shapes: E edges, Q queries, C documents.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
    excluded: Bool[Tensor, "Q C"] | None = None  # neither to be pulled nor pushed

    @property
    def positive(self) -> Bool[Tensor, " E"]:
        """Which edges join a query to an answer that it is to be pulled to."""
        answers = self.grade > 0
        if self.excluded is None:
            return answers
        return answers & ~self.excluded[self.query, self.document]

    def to(self, device: torch.device) -> "Edges":
        """Return the same edges on another device."""
        excluded = None if self.excluded is None else self.excluded.to(device)
        return Edges(
            self.query.to(device), self.document.to(device), self.grade.to(device), excluded
        )


class Loss(Protocol):
    """A number that falls as the vectors come to agree with the edges."""

    def __call__(
        self,
        queries: Float[Tensor, "Q D"],
        documents: Float[Tensor, "C D"],
        edges: Edges,
        *,
        temperature: float,
    ) -> Float[Tensor, ""]:
        """Return the loss of one batch; only the directions of the vectors count."""
        ...
