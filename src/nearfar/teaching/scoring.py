"""What teachers say of blocks of pairs, and what that makes of each pair.

Shapes: J judgments, N new candidates, P pairs of one block, U unique ones, T teachers, Q queries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.data.texts_by_row import Texts
from nearfar.model.reranker import Reranker
from nearfar.teaching.fusing import fused
from nearfar.teaching.grading import median_answers, verdicts
from nearfar.teaching.known import Known
from nearfar.teaching.pairs import Block, Pairs
from nearfar.teaching.scales import Scale
from nearfar.teaching.settings import Teaching

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
New = tuple[Ints, Ints, Ints, Floats]  # (N,) each: query, document, rank, score


@dataclass(slots=True)
class Said:
    """What a teacher has said of all pairs so far."""

    score: npt.NDArray[np.float32]  # (J,) NaN: none
    new: list[New] = field(default_factory=list)  # a block each

    @classmethod
    def before(cls, known: Known, settings: Teaching, teacher: str) -> "Said":
        """Return what is said before anyone is asked: scores to keep, if they are this teacher's.

        Those of others are on another scale: they stay in the dataset, and nothing here is held
        against them.
        """
        score = np.full(len(known.query), np.nan, dtype=np.float32)
        if settings.scores == "keep":
            own = known.train & np.fromiter(
                (one == teacher for one in known.teacher), bool, len(score)
            )
            score[own] = known.score[own]
        return cls(score)


class Verdicts:
    """What all scores make of all pairs: known once the last block is scored."""

    def __init__(self, said: Said, known: Known, scale: Scale | None, settings: Teaching) -> None:
        self.scale = scale
        self._said, self._settings = said, settings
        scores = said.score.astype(np.float64)
        answers = known.answers(settings.regraded)
        self._reference = median_answers(scores, answers, known.query, len(known.query_ids))
        self._query = known.query
        self._verdict = verdicts(scores, self._reference[known.query], scale, settings)

    def of(self, place: int) -> tuple[float, float, int]:
        """Return a judgment's score and the reference of its query, NaN for none, and verdict."""
        reference = self._reference[self._query[place]]
        return float(self._said.score[place]), float(reference), int(self._verdict[place])

    def candidates(self) -> Iterator[tuple[int, int, int, float, float, int]]:
        """Yield query row, document row, rank, score, the query's reference and verdict."""
        for query, document, rank, score in self._said.new:
            reference = self._reference[query]
            found = verdicts(score, reference, self.scale, self._settings)
            arrays = (query, document, rank, score, reference, found)
            yield from zip(*(each.tolist() for each in arrays), strict=True)


@dataclass
class Scorer:
    """Lets the teachers score blocks of pairs."""

    teachers: Sequence[Reranker]
    pairs: Pairs
    documents: Texts
    said: Said

    def texts(self, block: Block) -> tuple[list[str], list[str], Int[Tensor, "U 2"], Ints]:
        """Return queries, documents, the unique pairs of their places, and which each pair is."""
        rows, place = np.unique(block.document, return_inverse=True)
        both, unique = np.unique(np.stack([block.place, place]), axis=1, return_inverse=True)
        queries = self.pairs.queries[block.queries]
        return queries, self.documents[rows.tolist()], torch.from_numpy(both.T.copy()), unique

    def score(self, block: Block) -> int:
        """Score a block, take note of what was said, and return how many pairs have no score."""
        settings = self.pairs.settings
        queries, documents, pairs, unique = self.texts(block)
        logits = np.stack(
            [
                teacher.score_pairs(queries, documents, pairs).double().numpy()
                for teacher in self.teachers
            ]
        )  # (T, U)
        scores = fused(logits, pairs[:, 0].numpy(), settings.fusion, settings.weights)
        scores = scores[unique.reshape(-1)]
        judged = block.judgment >= 0
        self.said.score[block.judgment[judged]] = scores[judged]
        new = ~judged
        if new.any():
            query = np.array(block.queries)[block.place[new]]
            self.said.new.append((query, block.document[new], block.rank[new], scores[new]))
        return int(np.isnan(scores).sum())
