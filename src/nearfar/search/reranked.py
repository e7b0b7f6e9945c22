"""Retrieve, then rerank: many candidates found fast, the first of them read with care."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from time import perf_counter
from typing import overload

import torch

from nearfar.errors import BadModel, require
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.model.space import require_same_space
from nearfar.records import Document
from nearfar.search.candidates import Candidate, Fusion, find_candidates
from nearfar.search.documents_file import Fetching
from nearfar.search.index import Index

_FIRST_WAVE = 8  # pairs; read before any speed is known
_CHARACTERS_PER_TOKEN = 6  # more than most texts have: a cut pair counts rather too long
_INSTANT = 1e-9  # seconds; a clock may not have moved at all


@dataclass(frozen=True, slots=True)
class RerankedHit:
    """A document that was found, and why it stands where it does."""

    document: Document
    rank: int  # from 1
    score: float | None  # the reranker's logit; None: it was not read
    found: Candidate  # as retrieval brought it, with its ranks and scores


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long each stage of one call took, whatever the number of its queries."""

    encoding: float  # the queries
    retrieving: float
    fetching: float  # the texts of what is read or returned
    reranking: float

    @property
    def total(self) -> float:
        """Return all of it."""
        return self.encoding + self.retrieving + self.fetching + self.reranking


@dataclass(frozen=True, slots=True)
class Reranked:
    """The answer to one query."""

    hits: list[RerankedHit]  # best first
    candidates: int  # brought by retrieval
    reranked: int  # of them read
    stopped_by_budget: bool  # whether some were left unread for want of time
    seconds: Seconds  # of the call, which may have answered other queries too


@overload
def retrieve_then_rerank(
    index: Index,
    encoder: Encoder,
    reranker: Reranker | None,
    query: str,
    *,
    k: int = 10,
    candidates: int = 100,
    budget_seconds: float | None = None,
    where: Mapping[str, str] | None = None,
    fusion: Fusion | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Reranked: ...


@overload
def retrieve_then_rerank(
    index: Index,
    encoder: Encoder,
    reranker: Reranker | None,
    query: list[str] | tuple[str, ...],
    *,
    k: int = 10,
    candidates: int = 100,
    budget_seconds: float | None = None,
    where: Mapping[str, str] | None = None,
    fusion: Fusion | None = None,
    clock: Callable[[], float] = perf_counter,
) -> list[Reranked]: ...


def retrieve_then_rerank(
    index: Index,
    encoder: Encoder,
    reranker: Reranker | None,
    query: str | list[str] | tuple[str, ...],
    *,
    k: int = 10,
    candidates: int = 100,
    budget_seconds: float | None = None,
    where: Mapping[str, str] | None = None,
    fusion: Fusion | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Reranked | list[Reranked]:
    """Return the k documents that the reranker finds best among the candidates of retrieval.

    Without a budget all candidates of all queries are read in one call of the reranker, which
    sorts them by length, and the answer is the same each time. With one, they are read in the
    order of their ranks, wave by wave: the first is of 8 pairs, and each later one of as many
    as should be read in half of the time that is left. How long that takes is foretold from the
    wave before, by its pairs and by their characters, whichever says longer. What is not read
    stands below what is, as retrieval ordered it. Equals keep the order of retrieval.

    The budget is no promise of a time. What can outlast it: encoding and retrieval, after which
    nothing is read; the first wave, of which no speed is known yet; a later one that takes over
    twice as long as foretold; and fetching the documents that are returned, for which time is
    kept back as soon as it is known how long one takes.

    Args:
        index: what is searched.
        encoder: must be of the space the index was built with.
        reranker: reads a query and a document together; None: retrieval alone.
        query: one text, or a list of them.
        k: at most so many hits a query, 1 or more.
        candidates: at most so many of a query are read, k or more.
        budget_seconds: of the whole call, counted from its beginning; above 0. No wave begins
            after it, nor one that should not end within it. None: no limit.
        where: fields that must have exactly these values, such as {"language": "de"}.
        fusion: how words join in; None: candidates are found by meaning alone.
        clock: tells seconds.

    Returns:
        The answer; for a list of queries, one each.

    Raises:
        SpaceMismatch: the index was built with another model; names each choice that differs.
        BadSetting: a number is out of its range, or `where` names an unknown field or value.
        BadFile: the stored documents are damaged.
        BadModel: the reranker said something that is not a number.

    Source: Nogueira and Cho 2019, arXiv:1901.04085 (a cross-encoder over candidates).
    """
    require(k >= 1, "k", "1 or more", k)
    require(candidates >= k, "candidates", f"k, which is {k}, or more", candidates)
    budget = math.inf if budget_seconds is None else budget_seconds
    require(budget > 0, "budget_seconds", "above 0, or none", budget_seconds)
    require_same_space(encoder.space, index.space, to="search this index")
    times = [clock()]
    texts = [query] if isinstance(query, str) else list(query)
    vectors = encoder.encode(texts, "query")
    times.append(clock())
    among = index.documents.rows_where(where) if where else None
    found = find_candidates(index.vectors, vectors, texts, candidates, among=among, fusion=fusion)
    times.append(clock())
    reader = Reader(index.documents, reranker, texts, k, clock)
    logits = [[] for _ in found] if reranker is None else reader.read(found, times[0] + budget)
    firsts = [ordered(some, own)[:k] for some, own in zip(found, logits, strict=True)]
    reader.fetch([one.row for some in firsts for one, _ in some])
    encoding, retrieving = (after - before for before, after in pairwise(times))
    seconds = Seconds(encoding, retrieving, reader.fetching, reader.reranking)
    answers = [
        Reranked(
            hits=[
                RerankedHit(reader.documents[one.row], rank, logit, one)
                for rank, (one, logit) in enumerate(best, start=1)
            ],
            candidates=len(some),
            reranked=len(own),
            stopped_by_budget=reranker is not None and len(own) < len(some),
            seconds=seconds,
        )
        for some, own, best in zip(found, logits, firsts, strict=True)
    ]
    return answers[0] if isinstance(query, str) else answers


def ordered(
    found: Sequence[Candidate], logits: Sequence[float]
) -> list[tuple[Candidate, float | None]]:
    """Return what was read by its logit, then what was not by its rank."""
    read = sorted(zip(found, logits, strict=False), key=lambda pair: (-pair[1], pair[0].rank))
    return [*read, *((one, None) for one in found[len(logits) :])]


@dataclass(frozen=True, slots=True)
class _Pace:
    """How long reading took last, by two measures; what is read next may be shorter or longer."""

    seconds_per_pair: float
    seconds_per_character: float

    def seconds(self, pairs: int, characters: int) -> float:
        """Return how long so many pairs of so many characters in all should take.

        Long pairs take longer than short ones, and short ones not as much less as they are
        shorter, nor is what a model cuts off as long as it looks: the slower measure holds.
        """
        return max(pairs * self.seconds_per_pair, characters * self.seconds_per_character)


@dataclass(slots=True)
class Reader:
    """Has candidates read, fetches a text when it is needed, and takes the time of both."""

    stored: Fetching
    reranker: Reranker | None
    queries: Sequence[str]
    k: int  # hits of each query, whose documents are needed in the end, read or not
    clock: Callable[[], float]
    documents: dict[int, Document] = field(default_factory=dict)  # by row
    fetching: float = 0.0
    reranking: float = 0.0

    def read(self, found: Sequence[Sequence[Candidate]], deadline: float) -> list[list[float]]:
        """Return the logits of the first candidates of each query, as many as time allows."""
        # By rank, then by query: when time runs out, all queries have had their share of it.
        ranked = sorted(
            (one.rank, query, one.row) for query, some in enumerate(found) for one in some
        )
        pairs = [(query, row) for _, query, row in ranked]
        logits: list[list[float]] = [[] for _ in found]
        wave: Sequence[tuple[int, int]]
        pace: _Pace | None = None
        while pairs and self.clock() < deadline:
            lacking = sum(max(min(self.k, len(some)) - len(own), 0)
                          for some, own in zip(found, logits, strict=True))  # fmt: skip
            kept_back = self._fetch_seconds(lacking)
            if deadline == math.inf:
                wave = pairs
            elif pace is None:
                wave = pairs[:_FIRST_WAVE]
            else:
                wave = self._fitting(pairs, pace, deadline - kept_back)
            self.fetch([row for _, row in wave])
            if not wave or self.clock() >= deadline - kept_back:
                break
            before = self.reranking
            for (query, _), logit in zip(wave, self._wave(wave), strict=True):
                logits[query].append(logit)
            took = max(self.reranking - before, _INSTANT)
            pace = _Pace(took / len(wave), took / max(sum(self._lengths(wave)), 1))
            pairs = pairs[len(wave) :]
        return logits

    def _fitting(
        self, pairs: Sequence[tuple[int, int]], pace: _Pace, deadline: float
    ) -> Sequence[tuple[int, int]]:
        """Return the first pairs that fit into half of the time that is left; fetches their texts.

        How long a text is shows only when it is there: as many are fetched as could be read if
        none were longer than those before. The others wait for the wave after.
        """
        each = pace.seconds_per_pair + self._fetch_seconds(1)
        some = pairs[: int(min(max(deadline - self.clock(), 0) / 2 / each, len(pairs)))]
        self.fetch([row for _, row in some])
        half = (deadline - self.clock()) / 2
        totals = enumerate(accumulate(self._lengths(some)), start=1)
        return some[: sum(pace.seconds(count, total) <= half for count, total in totals)]

    def _lengths(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Return the characters of each pair that the reranker reads, as far as it says."""
        tokens = getattr(self.reranker, "max_tokens", None)  # no part of a reranker's promise
        most = math.inf if tokens is None else _CHARACTERS_PER_TOKEN * tokens
        return [
            int(min(len(self.queries[query]) + len(self.documents[row].content), most))
            for query, row in pairs
        ]

    def _fetch_seconds(self, count: int) -> float:
        """Return how long it should take to fetch so many documents; 0 before any was."""
        return count * self.fetching / max(len(self.documents), 1)

    def _wave(self, wave: Sequence[tuple[int, int]]) -> list[float]:
        """Return the logit of each query and row, all scored together."""
        assert self.reranker is not None, "nobody is there to read"
        start = self.clock()
        place_of = {row: place for place, row in enumerate(dict.fromkeys(row for _, row in wave))}
        contents = [self.documents[row].content for row in place_of]
        pairs = torch.tensor([(query, place_of[row]) for query, row in wave])
        found = self.reranker.score_pairs(self.queries, contents, pairs)
        self.reranking += self.clock() - start
        if not found.isfinite().all():
            bad = int((~found.isfinite()).nonzero()[0])
            query, row = wave[bad]
            raise BadModel(
                f"Expected a number from the reranker, found {found[bad]} for the query "
                f"{self.queries[query]!r} and document {self.documents[row].id!r}. Check the "
                "model with a short pair; in float16 large models overflow."
            )
        logits: list[float] = found.tolist()
        return logits

    def fetch(self, rows: Sequence[int]) -> None:
        """Read documents that are not at hand yet: their parts of the table, one after another."""
        start = self.clock()
        self.documents |= self.stored.fetch(row for row in rows if row not in self.documents)
        self.fetching += self.clock() - start
