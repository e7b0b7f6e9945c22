"""What may not be called a wrong answer: the rules that need no further model.

Shapes: C documents, D dimensions, K candidates.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from nearfar.mining.known import Known, text_key
from nearfar.mining.settings import Mining
from nearfar.mining.trust import Trust
from nearfar.records import Query


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that may be a negative of a query."""

    row: int
    rank: int  # among those found, from 1
    score: float  # its cosine with the query


@dataclass(frozen=True, slots=True)
class Case:
    """One query, and what its candidates are held against."""

    query: Query
    candidates: Sequence[Candidate]
    own_answers: Sequence[int]  # rows, ascending
    answer_score: float  # of its lowest-scoring answer
    ceiling: float  # no negative scores higher
    _answers: AbstractSet[int]  # of all queries that ask the same
    _judged: AbstractSet[int]
    _texts: AbstractSet[str]  # of the answers
    _asked: str
    _close: AbstractSet[int]  # rows that nearly are an answer
    _document_texts: Sequence[str]

    def safe(self, refused: Counter[str]) -> Iterator[Candidate]:
        """Yield the candidates that no rule refuses, in their order; count the others."""
        for candidate in self.candidates:
            reason = self._reason(candidate)
            if reason is None:
                yield candidate
            else:
                refused[reason] += 1

    def _reason(self, candidate: Candidate) -> str | None:
        row = candidate.row
        text = self._document_texts[row]
        reasons = {
            "an answer": row in self._answers,
            "judged already": row in self._judged,
            "the text of an answer": text in self._texts,
            "the text of the query": text == self._asked,
            "a near-duplicate of an answer": row in self._close,
            "too close to the answer's score": candidate.score > self.ceiling,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def open_case(
    query: Query,
    vector: Float[Tensor, " D"],
    rows: Sequence[int],
    documents: Float[Tensor, "C D"],
    known: Known,
    settings: Mining,
    trust: Trust,
) -> Case:
    """Return the case of one query.

    Args:
        query: it.
        vector: of length 1.
        rows: of its candidates, the nearest first; -1 for none.
        documents: all vectors, of length 1.
        known: what the dataset says already.
        settings: the absolute margin, the first rank, what is a near-duplicate.
        trust: the relative margin.
    """
    key = text_key(query.content)
    own, answers = sorted(known.own_answers[query.id]), known.answers[key]
    found = [(row, rank) for rank, row in enumerate(rows, start=1) if row >= 0]
    near = documents[[row for row, _ in found]]  # (K, D)
    scores = near @ vector
    likeness = (near @ documents[sorted(answers)].T).amax(dim=1) if found else scores
    lowest = float((documents[own] @ vector).min())
    return Case(
        query=query,
        candidates=[
            Candidate(row, rank, score)
            for (row, rank), score in zip(found, scores.tolist(), strict=True)
            if rank >= settings.first_rank
        ],
        own_answers=own,
        answer_score=lowest,
        ceiling=below(lowest, trust.margin, settings.absolute_margin),
        _answers=answers,
        _judged=known.judged[query.id],
        _texts={known.texts[row] for row in answers},
        _asked=key,
        _close={
            row
            for (row, _), close in zip(
                found, (likeness >= settings.near_duplicate_cosine).tolist(), strict=True
            )
            if close
        },
        _document_texts=known.texts,
    )


def below(answer: float, share: float | None, margin: float | None = None) -> float:
    """Return the highest score that lies both margins below an answer's; None: no such margin.

        ceiling = min(answer - share * |answer|, answer - margin)

    The share is of the absolute value, so that it also points downwards below 0.
    """
    ceilings = [math.inf]
    if share is not None:
        ceilings.append(answer - share * abs(answer))
    if margin is not None:
        ceilings.append(answer - margin)
    return min(ceilings)
