"""Asking better models whether a candidate is an answer after all: a guide, a teacher.

A guide is another encoder, whose cosines are at hand for nothing. A teacher reads query and
document together; it is asked only about what all other rules have let through, for many queries
at once.

Shapes: C documents, G dimensions of the guide, P pairs.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.texts_by_row import Texts
from nearfar.mining.refusing import Candidate, Case, below
from nearfar.mining.settings import Mining
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress
from nearfar.vectors.similarity import unit

ANSWER_TO_GUIDE = "an answer to the guide"
ANSWER_TO_TEACHER = "an answer to the teacher"


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate, and what the teacher makes of it."""

    candidate: Candidate
    probability: float | None = None  # that it is an answer; None: no teacher was asked


@dataclass(frozen=True, slots=True)
class Guide:
    """Another encoder: a candidate must lie below the answer in its space too.

    Source: Solatorio 2024, arXiv:2402.16829, sec. 3 (GISTEmbed).
    """

    encoder: Encoder
    documents: Float[Tensor, "C G"]  # of length 1
    margin: float

    def safe(
        self, cases: Sequence[Case], streams: Sequence[Iterator[Candidate]], refused: Counter[str]
    ) -> list[Iterator[Candidate]]:
        """Return the streams without what the guide takes for an answer."""
        asked = unit(self.encoder.encode([case.query.content for case in cases], "query"))
        return [
            self._of_one(case, stream, vector, refused)
            for case, stream, vector in zip(cases, streams, asked, strict=True)
        ]

    def _of_one(
        self, case: Case, stream: Iterator[Candidate], vector: Tensor, refused: Counter[str]
    ) -> Iterator[Candidate]:
        ceiling = float((self.documents[list(case.own_answers)] @ vector).min()) - self.margin
        for candidate in stream:
            if float(self.documents[candidate.row] @ vector) > ceiling:
                refused[ANSWER_TO_GUIDE] += 1
            else:
                yield candidate


@dataclass(frozen=True, slots=True)
class Teacher:
    """A reranker: no candidate may come near the probability it gives to the answer.

    A logit z becomes the probability 1 / (1 + exp(-z)); several answers, the lowest counts.

    Source: Qu et al. 2021, arXiv:2010.08191, sec. 4.2 (denoised negatives); the margin as in
        Moreira et al. 2024, arXiv:2407.15831, sec. 3.
    """

    reranker: Reranker
    texts: Texts
    settings: Mining
    progress: Progress

    def safe(
        self,
        cases: Sequence[Case],
        streams: Sequence[Iterator[Candidate]],
        refused: Counter[str],
        enough: int | None,
    ) -> list[list[Asked]]:
        """Return of each case what the teacher lets through too.

        Args:
            cases: of some queries.
            streams: what all other rules have let through.
            refused: counts the others.
            enough: how many of each case are wanted, the first in their order; None: all.
        """
        ceilings = self._ceilings(cases)
        found: list[list[Asked]] = [[] for _ in cases]
        active = list(range(len(cases)))
        while active:
            wave = {
                place: list(islice(streams[place], _lacking(found[place], enough)))
                for place in active
            }
            pairs = [(place, one.row) for place, some in wave.items() for one in some]
            numbers = iter(self._probabilities(cases, pairs).tolist())
            for place, some in wave.items():
                for candidate in some:
                    probability = next(numbers)
                    if probability > ceilings[place]:
                        refused[ANSWER_TO_TEACHER] += 1
                    else:
                        found[place].append(Asked(candidate, probability))
            active = [
                place
                for place in active
                if wave[place] and enough is not None and len(found[place]) < enough
            ]
        return found

    def _ceilings(self, cases: Sequence[Case]) -> list[float]:
        pairs = [(place, row) for place, case in enumerate(cases) for row in case.own_answers]
        lowest = [1.0] * len(cases)
        numbers = self._probabilities(cases, pairs).tolist()
        for (place, _), probability in zip(pairs, numbers, strict=True):
            lowest[place] = min(lowest[place], probability)
        settings = self.settings
        return [
            min(below(one, settings.teacher_margin), settings.teacher_threshold) for one in lowest
        ]

    def _probabilities(
        self, cases: Sequence[Case], pairs: Sequence[tuple[int, int]]
    ) -> Float[Tensor, " P"]:
        if not pairs:
            return torch.empty(0)
        rows = sorted({row for _, row in pairs})
        place_of = {row: place for place, row in enumerate(rows)}
        logits = self.reranker.score_pairs(
            [case.query.content for case in cases],
            self.texts[rows],
            torch.tensor([(place, place_of[row]) for place, row in pairs]),
            progress=self.progress,
        )
        return logits.sigmoid()


def _lacking(found: Sequence[Asked], enough: int | None) -> int | None:
    return None if enough is None else enough - len(found)
