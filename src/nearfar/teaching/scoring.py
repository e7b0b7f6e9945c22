"""Which pairs of a dataset a teacher scores, block by block, and what it says of them.

Shapes: J judgments, N new candidates, P pairs of one block, T teachers, S documents, D dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.fingerprint import content_id
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.teaching.contents import Texts
from nearfar.teaching.fusing import fused
from nearfar.teaching.grading import lowest_answers, verdicts
from nearfar.teaching.known import Known, barred
from nearfar.teaching.settings import Teaching
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

_QUERIES_PER_BLOCK = 1_024
_PEOPLE = 100  # pairs that people have judged, on which a teacher is tried first

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Nearest:
    """Brings the nearest documents of an encoder's space as new candidates."""

    encoder: Encoder
    documents: Float[Tensor, "C D"]  # of length 1
    free: Int[Tensor, " S"]  # those that neither dev nor test has a claim on
    depth: int

    def find(self, queries: Sequence[str]) -> Int[Tensor, "Q K"]:
        """Return the rows of the nearest documents, the nearest first."""
        vectors = unit(self.encoder.encode(queries, "query"))
        among = None if len(self.free) == len(self.documents) else self.free
        return nearest(vectors, self.documents, self.depth, among=among)[1].cpu()


@dataclass(slots=True)
class Block:
    """All pairs of some queries: what is judged, then what is new."""

    queries: list[int]  # rows
    place: Ints  # (P,) of each pair, the place of its query among these
    document: Ints  # (P,) rows
    judgment: Ints  # (P,) places among all judgments; -1: new
    rank: Ints  # (P,) of new candidates, among the nearest; 0: judged
    trial: bool  # whether it is of the queries on which a teacher is tried first


@dataclass(slots=True)
class Said:
    """What a teacher has said of all pairs so far."""

    score: npt.NDArray[np.float32]  # (J,) NaN: none
    lowest: npt.NDArray[np.float32]  # (J,) the lowest score of an answer of the query; NaN: none
    verdict: npt.NDArray[np.uint8]  # (J,) as if the grade were unknown
    new: list[tuple[Any, ...]] = field(default_factory=list)  # arrays of (N,), a tuple a block

    @classmethod
    def nothing(cls, judgments: int) -> "Said":
        """Return what is said before anyone is asked."""
        empty = np.full(judgments, np.nan, dtype=np.float32)
        return cls(empty, empty.copy(), np.zeros(judgments, dtype=np.uint8))

    def candidates(self) -> Iterator[tuple[int, int, int, float, float, int]]:
        """Yield query row, document row, rank, score, lowest answer's score and verdict."""
        for arrays in self.new:
            yield from zip(*(each.tolist() for each in arrays), strict=True)


@dataclass
class Pairs:
    """The pairs that are to be scored, in blocks that hold all pairs of their queries."""

    known: Known
    settings: Teaching
    queries: Texts
    nearest: Nearest | None

    def __post_init__(self) -> None:
        known = self.known
        self.free = known.train  # (J,) which judgments may be scored
        rows = np.flatnonzero(self.free)
        self._order = rows[np.argsort(known.query[rows], kind="stable")]
        self._asked = known.query[self._order]
        self.offered = known.candidates_for() if self.nearest is not None else set()
        self._barred = barred(known, self.offered)
        self.people = [place for place in rows.tolist() if known.kind[place] == "human"]

    @property
    def rows(self) -> list[int]:
        """The queries there is something to score of, those to try a teacher on first."""
        first = self._tried()
        return first + sorted((set(self._asked.tolist()) | self.offered) - set(first))

    def _tried(self) -> list[int]:
        """Return queries that hold the pairs judged by people on which a teacher is tried."""
        counts: dict[int, int] = {}
        for place in self.people:
            row = int(self.known.query[place])
            counts[row] = counts.get(row, 0) + 1
        wrong = {int(self.known.query[p]) for p in self.people if self.known.grade[p] == 0}
        chosen: list[int] = []
        total = 0
        ids = self.known.query_ids
        for row in sorted(counts, key=lambda row: (row not in wrong, content_id(ids[row]))):
            if total >= _PEOPLE:
                break
            chosen.append(row)
            total += counts[row]
        return chosen

    def blocks(self) -> Iterator[Block]:
        """Yield all pairs; first come the blocks to try a teacher on, where there are any."""
        first = len(self._tried())
        rows = self.rows
        for start in range(0, first, _QUERIES_PER_BLOCK):
            yield from self._of_size(rows[start : min(start + _QUERIES_PER_BLOCK, first)], True)
        for start in range(first, len(rows), _QUERIES_PER_BLOCK):
            yield from self._of_size(rows[start : start + _QUERIES_PER_BLOCK], False)

    def _of_size(self, rows: list[int], trial: bool) -> Iterator[Block]:
        """Yield the pairs of some queries in blocks of about the size that the settings say."""
        found = self._found(rows)
        waiting: list[tuple[int, Ints, list[tuple[int, int]]]] = []
        size = 0
        for row in rows:
            judged = self._judged(row)
            new = found.get(row, [])
            waiting.append((row, judged, new))
            size += len(judged) + len(new)
            if size >= self.settings.pairs_per_block:
                yield self._block(waiting, trial)
                waiting, size = [], 0
        if size:
            yield self._block(waiting, trial)

    def _judged(self, row: int) -> Ints:
        start, end = np.searchsorted(self._asked, [row, row + 1])
        return self._order[start:end]

    def _found(self, rows: list[int]) -> dict[int, list[tuple[int, int]]]:
        """Return of each query the new candidates: rank and row."""
        asked = [row for row in rows if row in self.offered]
        if self.nearest is None or not asked:
            return {}
        found = self.nearest.find(self.queries[asked]).tolist()
        return {
            row: self._unlike(row, documents) for row, documents in zip(asked, found, strict=True)
        }

    def _unlike(self, row: int, documents: list[int]) -> list[tuple[int, int]]:
        """Return the candidates that may be offered, each text once."""
        seen: set[bytes] = set()
        kept = []
        for rank, document in enumerate(documents, start=1):
            text = self.known.document_texts[document]
            if text not in seen and not self._barred(self.known, row, document):
                seen.add(text)
                kept.append((rank, document))
        return kept

    def _block(
        self, waiting: Sequence[tuple[int, Ints, list[tuple[int, int]]]], trial: bool
    ) -> Block:
        place: list[int] = []
        document: list[int] = []
        judgment: list[int] = []
        rank: list[int] = []
        for number, (_, judged, new) in enumerate(waiting):
            place += [number] * (len(judged) + len(new))
            document += self.known.document[judged].tolist() + [row for _, row in new]
            judgment += judged.tolist() + [-1] * len(new)
            rank += [0] * len(judged) + [own for own, _ in new]
        return Block([row for row, _, _ in waiting], np.array(place), np.array(document),
                     np.array(judgment), np.array(rank), trial)  # fmt: skip


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
        known, settings = self.pairs.known, self.pairs.settings
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
        places = block.judgment[judged]
        if settings.scores == "keep":
            before = known.score[places].astype(np.float64)
            scores[judged] = np.where(np.isnan(before), scores[judged], before)
        answers = np.zeros(len(scores), dtype=bool)
        answers[judged] = known.grade[places] > 0
        lowest = lowest_answers(scores, answers, block.place)
        found = verdicts(scores, lowest, settings)
        self.said.score[places] = scores[judged]
        self.said.lowest[places] = lowest[judged]
        self.said.verdict[places] = found[judged]
        new = ~judged
        query = np.array(block.queries)[block.place[new]]
        self.said.new.append((query, block.document[new], block.rank[new], scores[new],
                              lowest[new], found[new]))  # fmt: skip
        return int(np.isnan(scores).sum())
