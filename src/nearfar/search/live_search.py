"""A search through a store: meaning and words fused, the first candidates read, all explained.

Shapes: Q queries, D dimensions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import perf_counter
from typing import Literal, NamedTuple, cast

from nearfar.errors import BadSetting, require
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.records import Document
from nearfar.search.candidates import Candidate, fused
from nearfar.search.chunks import Cutter, Span
from nearfar.search.explained import LiveHit, explain, worded_piece
from nearfar.search.reranked import Reader, Seconds, ordered
from nearfar.stores.contract import Found, Store
from nearfar.stores.filters import Where
from nearfar.vectors.similarity import unit

Words = Literal["ranks"] | float | None
_CANDIDATES = 100  # brought by meaning and by words, unless said


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a search goes."""

    k: int = 10  # hits a query, at most
    where: Where = ()  # conditions that all must hold
    # How words join meaning: by ranks (RRF), by how much they count (0 to 1), or not.
    words: Words = None
    rerank: bool = False  # whether the reranker reads the first candidates
    candidates: int | None = None  # brought by each of meaning and words; None: 100, or k if more
    budget_ms: float | None = None  # of the whole call; see `reranked.py`
    exact: bool = False  # whether every vector is looked at
    explain: bool = False  # whether hits say which words and which piece

    def __post_init__(self) -> None:
        require(self.k >= 1, "k", "1 or more", self.k)
        holds = self.candidates is None or self.candidates >= self.k
        require(holds, "candidates", f"k, which is {self.k}, or more", self.candidates)
        budget = self.budget_ms
        require(budget is None or budget > 0, "budget_ms", "above 0, or none", budget)
        if self.words not in (None, "ranks"):
            number = isinstance(self.words, int | float) and not isinstance(self.words, bool)
            holds = number and 0 <= cast(float, self.words) <= 1
            require(holds, "words", "'ranks', a weight between 0 and 1, or none", self.words)

    @property
    def depth(self) -> int:
        """How many candidates are brought, by meaning and by words each."""
        if self.words is None and not self.rerank:
            return self.k
        return max(_CANDIDATES, self.k) if self.candidates is None else self.candidates


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one query."""

    hits: list[LiveHit]  # best first
    candidates: int  # brought by meaning and words
    reranked: int  # of them read
    stopped_by_budget: bool  # whether some were left unread for want of time
    seconds: Seconds  # of the call, which may have answered other queries too


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search goes through."""

    store: Store
    encoder: Encoder  # of the space of the store's vectors
    reranker: Reranker | None
    cutter: Cutter


class _Place(NamedTuple):
    """Where in a document something was found; in the order of ids."""

    id: str
    piece: int  # -1: words brought it, and they do not say which
    query: int  # whose words; -1: meaning found the piece, whoever asked


def search_store(
    searched: Searched,
    queries: Sequence[str],
    asked: Asked,
    *,
    clock: Callable[[], float] = perf_counter,
) -> list[Answer]:
    """Return the answers; see `LiveIndex.search`."""
    if asked.rerank and searched.reranker is None:
        raise BadSetting("rerank needs a reranker, and the index was opened without. Name one.")
    reranker = searched.reranker if asked.rerank else None
    texts = list(queries)
    times = [clock()]
    vectors = unit(searched.encoder.encode(texts, "query"))  # (Q, D)
    times.append(clock())
    store, depth = searched.store, asked.depth
    near = store.nearest(vectors, depth, where=asked.where, exact=asked.exact)
    worded = None if asked.words is None else store.worded(texts, depth, where=asked.where)
    places, found = _candidates(near, worded, asked)
    times.append(clock())
    passages = _Passages(searched, places, texts, cut=reranker is not None)
    reader = Reader(passages, reranker, texts, asked.k, clock)
    budget = math.inf if asked.budget_ms is None else asked.budget_ms / 1_000
    logits = [[] for _ in found] if reranker is None else reader.read(found, times[0] + budget)
    firsts = [ordered(some, own)[: asked.k] for some, own in zip(found, logits, strict=True)]
    reader.fetch([one.row for some in firsts for one, _ in some])
    encoding, retrieving = (after - before for before, after in pairwise(times))
    seconds = Seconds(encoding, retrieving, reader.fetching, reader.reranking)
    return [
        Answer(
            hits=passages.hits(text, best, asked),
            candidates=len(some),
            reranked=len(own),
            stopped_by_budget=reranker is not None and len(own) < len(some),
            seconds=seconds,
        )
        for text, some, own, best in zip(texts, found, logits, firsts, strict=True)
    ]


def _candidates(
    near: Sequence[Sequence[Found]], worded: Sequence[Sequence[Found]] | None, asked: Asked
) -> tuple[list[_Place], list[list[Candidate]]]:
    """Return all places of the call, and of each query its candidates, whose rows they are."""
    own = [{one.id: _Place(one.id, one.piece, -1) for one in some} for some in near]
    for query, some in enumerate(worded or ()):
        for one in some:
            own[query].setdefault(one.id, _Place(one.id, -1, query))
    places = sorted({place for some in own for place in some.values()})
    row_of = {place: row for row, place in enumerate(places)}
    rows = [{id: row_of[place] for id, place in some.items()} for some in own]
    if worded is None:
        return places, [
            [Candidate(of[one.id], rank, one.score, one.score, rank)
             for rank, one in enumerate(some, start=1)]
            for of, some in zip(rows, near, strict=True)
        ]  # fmt: skip
    return places, [
        _joined(of, by_meaning, by_words, asked)
        for of, by_meaning, by_words in zip(rows, near, worded, strict=True)
    ]


def _joined(
    row_of: dict[str, int], near: Sequence[Found], worded: Sequence[Found], asked: Asked
) -> list[Candidate]:
    """Fuse both lists of one query.

    A list does not tell the scores of what it does not hold: they are at most that of its last,
    and count as that; where words brought fewer than were asked for, the others share none.
    """
    furthest = near[-1].score if near else -1.0
    least = worded[-1].score if len(worded) >= asked.depth else 0.0
    cosine_of = dict.fromkeys(row_of.values(), furthest)
    cosine_of |= {row_of[one.id]: one.score for one in near}
    bm25_of = dict.fromkeys(row_of.values(), least)
    bm25_of |= {row_of[one.id]: one.score for one in worded}
    weight = None if isinstance(asked.words, str) else 1 - cast(float, asked.words)
    first, second = ([row_of[one.id] for one in some] for some in (near, worded))
    return fused(first, second, cosine_of, bm25_of, weight)[: asked.depth]


@dataclass(slots=True)
class _Passages:
    """The documents of one call by row: for a reranker the piece that was found, if in pieces."""

    searched: Searched
    places: Sequence[_Place]
    queries: Sequence[str]
    cut: bool
    documents: dict[str, Document] = field(default_factory=dict)
    spans: dict[str, tuple[Span, ...]] = field(default_factory=dict)

    def fetch(self, rows: Iterable[int]) -> dict[int, Document]:
        """Return what is to be read of some rows; of a document that has gone, nothing."""
        wanted = list(rows)
        lacking = {self.places[row].id for row in wanted} - self.documents.keys()
        if lacking:
            self.documents |= self.searched.store.fetch(sorted(lacking))
        return {row: self._passage(self.places[row]) for row in wanted}

    def hits(
        self, query: str, best: Sequence[tuple[Candidate, float | None]], asked: Asked
    ) -> list[LiveHit]:
        """Return the hits of one query, without documents that were deleted meanwhile."""
        there = [pair for pair in best if self.places[pair[0].row].id in self.documents]
        return [
            self._hit(query, one, rank, logit, asked)
            for rank, (one, logit) in enumerate(there, start=1)
        ]

    def _hit(
        self, query: str, one: Candidate, rank: int, logit: float | None, asked: Asked
    ) -> LiveHit:
        place = self.places[one.row]
        document = self.documents[place.id]
        why = None
        if asked.explain:
            piece = None if place.piece < 0 else place.piece
            why = explain(query, document.content, self._spans(document), piece)
        return LiveHit(
            document=document,
            rank=rank,
            score=one.score,
            vector_rank=one.vector_rank,
            cosine=None if one.vector_rank is None else one.cosine,
            word_rank=one.word_rank,
            word_score=None if one.word_rank is None else one.bm25,
            rerank_score=logit,
            why=why,
        )

    def _passage(self, place: _Place) -> Document:
        document = self.documents.get(place.id)
        if document is None:
            return Document(id=place.id, content="")
        spans = self._spans(document) if self.cut else ()
        if len(spans) < 2:
            return document
        if place.piece < 0:
            piece = worded_piece(self.queries[place.query], document.content, spans)
        else:
            piece = min(place.piece, len(spans) - 1)  # it may have been written anew since
        start, stop = spans[piece]
        return replace(document, content=document.content[start:stop])

    def _spans(self, document: Document) -> tuple[Span, ...]:
        if document.id not in self.spans:
            (self.spans[document.id],) = self.searched.cutter([document.content])
        return self.spans[document.id]
