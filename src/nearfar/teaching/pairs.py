"""Which pairs of a dataset a teacher scores, block by block.

Shapes: J judgments, P pairs of one block, S documents, D dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.data.texts_by_row import Texts
from nearfar.fingerprint import content_id
from nearfar.model.encoder import Encoder
from nearfar.teaching.known import Known, barred
from nearfar.teaching.settings import Teaching
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

_QUERIES_PER_BLOCK = 1_024
_PEOPLE = 100  # pairs that people have judged, on which a teacher is tried first
_PEOPLE_PER_QUERY = 10  # of these, so that they are of many queries

Ints = npt.NDArray[np.int64]


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
    """Pairs of some queries: what is judged, then what is new."""

    queries: list[int]  # rows
    place: Ints  # (P,) of each pair, the place of its query among these
    document: Ints  # (P,) rows
    judgment: Ints  # (P,) places among all judgments; -1: new
    rank: Ints  # (P,) of new candidates, among the nearest; 0: judged


@dataclass
class Pairs:
    """The pairs that are to be scored, in blocks that hold all pairs of their queries."""

    known: Known
    settings: Teaching
    queries: Texts
    nearest: Nearest | None

    def __post_init__(self) -> None:
        known = self.known
        self.train = known.train  # (J,) which judgments may be scored
        keep = self.settings.scores == "keep"
        self.free = self.train & np.isnan(known.score) if keep else self.train  # (J,) which are
        rows = np.flatnonzero(self.free)
        self._order = rows[np.argsort(known.query[rows], kind="stable")]
        self._asked = known.query[self._order]
        self.offered = known.candidates_for() if self.nearest is not None else set()
        self._barred = barred(known, self.offered)
        self.rows = sorted(set(self._asked.tolist()) | self.offered)  # queries

    @property
    def people(self) -> list[int]:
        """The judgments of the train split that people made."""
        return [p for p in np.flatnonzero(self.train).tolist() if self.known.kind[p] == "human"]

    def trial(self) -> Block | None:
        """Return up to 100 pairs that people have judged, on which a teacher is tried first.

        At most ten are of one query. Queries of which people named both an answer and a document
        that is none come first: they alone can tell how the two are ordered.
        """
        known = self.known
        sides: dict[int, tuple[list[int], list[int]]] = {}
        for place in self.people:
            if self.free[place]:
                own = sides.setdefault(int(known.query[place]), ([], []))
                own[int(known.grade[place] > 0)].append(place)

        def worth(row: int) -> tuple[bool, bool, str]:
            wrong, right = sides[row]
            return not (wrong and right), not wrong, content_id(known.query_ids[row])

        def name(place: int) -> str:
            return content_id(known.document_ids[known.document[place]])

        waiting: list[tuple[int, Ints, list[tuple[int, int]]]] = []
        left = _PEOPLE
        for row in sorted(sides, key=worth):
            both = zip_longest(*(sorted(side, key=name) for side in sides[row]))
            some = [place for place in chain.from_iterable(both) if place is not None]
            some = some[: min(left, _PEOPLE_PER_QUERY)]
            left -= len(some)
            waiting.append((row, np.array(some), []))
            if left == 0:
                break
        return self._block(waiting) if waiting else None

    def blocks(self) -> Iterator[Block]:
        """Yield all pairs."""
        for start in range(0, len(self.rows), _QUERIES_PER_BLOCK):
            yield from self._of_size(self.rows[start : start + _QUERIES_PER_BLOCK])

    def _of_size(self, rows: list[int]) -> Iterator[Block]:
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
                yield self._block(waiting)
                waiting, size = [], 0
        if size:
            yield self._block(waiting)

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

    def _block(self, waiting: Sequence[tuple[int, Ints, list[tuple[int, int]]]]) -> Block:
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
                     np.array(judgment), np.array(rank))  # fmt: skip
