"""Meaning, words and a reranker over a store: the order of plain loops, and why of every hit."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from letter_reranker import LetterReranker
from live_world import DOCUMENTS, FIELDS, filled
from shelf import QUERIES, TEXTS, WORDS, Scattered, cosines
from tiny import WORDS as SYLLABLES
from tiny import tiny_bert

from nearfar.data.words import words_of
from nearfar.errors import BadModel, BadSetting
from nearfar.model.text import TextEncoder
from nearfar.records import Document
from nearfar.search.chunks import Cutting
from nearfar.search.live_index import LiveIndex
from nearfar.search.live_search import Answer
from nearfar.stores.filters import Condition
from nearfar.stores.memory import MemoryShelf

RIGHT = (Condition("side", "=", ("right",)),)


@pytest.fixture(scope="module")
def index() -> LiveIndex:
    return filled()


def named(answer: Answer) -> list[str]:
    return [hit.document.id for hit in answer.hits]


def lists(index: LiveIndex, query: str, depth: int) -> tuple[dict[str, float], dict[str, float]]:
    """What meaning and words bring, with their scores, best first."""
    vectors = Scattered().encode([query], "query")
    (near,) = index.store.nearest(vectors, depth)
    (worded,) = index.store.worded([query], depth)
    return {one.id: one.score for one in near}, {one.id: one.score for one in worded}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("depth", [5, 20, 60])
def test_by_ranks_each_list_adds_its_share(query: str, depth: int, index: LiveIndex) -> None:
    near, worded = lists(index, query, depth)
    scores: dict[str, float] = {}
    for found in (near, worded):
        for rank, name in enumerate(found, start=1):
            scores[name] = scores.get(name, 0) + 1 / (60 + rank)
    want = sorted(scores, key=lambda name: (-scores[name], name))[:5]
    (answer,) = index.search([query], k=5, words="ranks", candidates=depth)
    assert named(answer) == want
    for hit in answer.hits:
        name = hit.document.id
        assert hit.score == pytest.approx(scores[name])
        assert hit.vector_rank == ([*near].index(name) + 1 if name in near else None)
        assert hit.word_rank == ([*worded].index(name) + 1 if name in worded else None)
        assert hit.cosine == near.get(name)
        assert hit.word_score == worded.get(name)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("weight", [0, 0.3, 1])
@pytest.mark.parametrize("depth", [8, 60])
def test_by_weight_both_scores_count(
    query: str, weight: float, depth: int, index: LiveIndex
) -> None:
    near, worded = lists(index, query, depth)
    top, most = max(near.values()) + 1, max(worded.values())
    # What a list does not hold is worth what its last is, or nothing where it holds all there is.
    far = min(near.values())
    least = min(worded.values()) if len(worded) == depth else 0.0
    scores = {
        name: (1 - weight) * (near.get(name, far) + 1) / top
        + weight * worded.get(name, least) / most
        for name in {**near, **worded}
    }
    want = sorted(scores, key=lambda name: (-scores[name], name))[:8]
    (answer,) = index.search([query], k=8, words=weight, candidates=depth)
    assert named(answer) == want
    assert [hit.score for hit in answer.hits] == pytest.approx([scores[name] for name in want])


def test_many_queries_are_answered_as_each_alone(index: LiveIndex) -> None:
    together = index.search(QUERIES, k=6, words="ranks")
    assert [one.hits for one in together] == [
        index.search([query], k=6, words="ranks")[0].hits for query in QUERIES
    ]
    assert index.search([]) == []


def test_conditions_hold_of_what_words_bring_too(index: LiveIndex) -> None:
    for words in (None, "ranks", 0.5):
        (answer,) = index.search([QUERIES[0]], k=60, where=RIGHT, words=words)
        assert {hit.document.fields["side"] for hit in answer.hits} == {"right"}
        assert len(answer.hits) == 20


@pytest.mark.parametrize("query", QUERIES)
def test_a_reranker_orders_what_it_reads(query: str, index: LiveIndex) -> None:
    reading = replace(index, reranker=LetterReranker())
    (answer,) = reading.search([query], k=9, rerank=True, candidates=30)
    (found,) = index.search([query], k=30)
    like = LetterReranker.like
    want = sorted(found.hits, key=lambda hit: (-like(query, hit.document.content), hit.rank))[:9]
    assert named(answer) == [hit.document.id for hit in want]
    for hit, own in zip(answer.hits, want, strict=True):
        assert hit.rerank_score == pytest.approx(like(query, hit.document.content))
        assert (hit.vector_rank, hit.cosine) == (own.rank, own.cosine)
    assert (answer.candidates, answer.reranked, answer.stopped_by_budget) == (30, 30, False)


def test_within_a_budget_the_first_are_read(index: LiveIndex) -> None:
    reranker = LetterReranker()
    reading = replace(index, reranker=reranker)
    (answer,) = reading.search(
        [QUERIES[0]], k=60, rerank=True, candidates=60, budget_ms=20_000, clock=reranker.clock
    )
    assert 8 < answer.reranked <= 20
    assert answer.stopped_by_budget
    assert answer.seconds.total == reranker.now == answer.reranked
    unread = [hit for hit in answer.hits if hit.rerank_score is None]
    assert unread == answer.hits[answer.reranked :]
    assert [hit.vector_rank for hit in unread] == sorted(hit.vector_rank or 0 for hit in unread)


def test_a_reranker_that_says_no_number_is_refused(index: LiveIndex) -> None:
    class Broken(LetterReranker):
        @staticmethod
        def like(query: str, document: str) -> float:
            return math.nan

    with pytest.raises(BadModel, match="found nan for the query"):
        replace(index, reranker=Broken()).search([QUERIES[0]], rerank=True)


def test_every_hit_says_why(index: LiveIndex) -> None:
    reading = replace(index, reranker=LetterReranker())
    (answer,) = reading.search(
        [QUERIES[3]], k=60, words="ranks", rerank=True, candidates=60, explain=True
    )
    for hit in answer.hits:
        assert hit.why is not None
        held = words_of(hit.document.content)
        assert hit.why.terms == tuple(w for w in dict.fromkeys(QUERIES[3].split()) if w in held)
        assert bool(hit.why.terms) == (hit.word_rank is not None)
        assert (hit.why.span, hit.why.text) == ((0, len(hit.why.text)), hit.document.content)
        told = hit.to_json()
        assert told["source"] == f"t:{int(hit.document.id[1:])}"
        assert told["why"]["terms"] == list(hit.why.terms)
    assert any(len(hit.why.terms) > 1 for hit in answer.hits if hit.why)
    (plain,) = reading.search([QUERIES[3]], k=1)
    assert plain.hits[0].why is None
    assert "why" not in plain.hits[0].to_json()


class Forgetful:
    """A store that loses a document between the finding and the fetching, as another may."""

    def __init__(self, store: Any, gone: Sequence[str]) -> None:
        self._store, self._gone = store, gone

    def fetch(self, ids: Iterable[str]) -> dict[str, Document]:
        return self._store.fetch(one for one in ids if one not in self._gone)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("rerank", [False, True])
def test_what_was_deleted_meanwhile_is_no_hit(rerank: bool, index: LiveIndex) -> None:
    reading = replace(index, reranker=LetterReranker())
    (before,) = reading.search([QUERIES[0]], rerank=rerank, words="ranks", candidates=60, k=60)
    gone = [before.hits[0].document.id, before.hits[4].document.id]
    losing = replace(reading, store=Forgetful(index.store, gone))  # type: ignore[arg-type]
    (after,) = losing.search([QUERIES[0]], rerank=rerank, words="ranks", candidates=60, k=60)
    assert named(after) == [name for name in named(before) if name not in gone]
    assert [hit.rank for hit in after.hits] == list(range(1, len(before.hits) - 1))


class Remembering(LetterReranker):
    """Keeps what it was given to read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()

    def score_pairs(self, queries, documents, pairs, **options):  # type: ignore[no-untyped-def]
        self.read |= {documents[d] for _, d in pairs.tolist()}
        return super().score_pairs(queries, documents, pairs, **options)


def test_a_reranker_reads_the_piece_that_was_found(tmp_path_factory: Any) -> None:
    encoder = TextEncoder.load(tiny_bert(tmp_path_factory.mktemp("model")))
    reranker = Remembering()
    index = LiveIndex.create(MemoryShelf(), encoder, cutting=Cutting(tokens=24), reranker=reranker)
    long = " ".join(SYLLABLES)
    index.upsert([Document(id="long", content=long), Document(id="short", content=SYLLABLES[0])])
    last = " ".join(SYLLABLES[-12:])
    (answer,) = index.search([last], rerank=True, words="ranks", explain=True)
    hit = next(one for one in answer.hits if one.document.id == "long")
    assert hit.document.content == long  # whole, though it was read in part
    assert hit.why is not None
    assert reranker.read == {hit.why.text, SYLLABLES[0]}
    assert last.split()[-1] in hit.why.text.split()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 0}, "k must be 1 or more, got 0"),
        ({"k": 5, "words": "ranks", "candidates": 4}, "candidates must be k, which is 5, or more"),
        ({"budget_ms": 0}, "budget_ms must be above 0"),
        ({"words": 1.5}, "words must be 'ranks', a weight between 0 and 1, or none, got 1.5"),
        ({"words": "rank"}, "words must be"),
        ({"words": True}, "words must be"),
        ({"words": math.nan}, "words must be"),
        ({"rerank": True}, "rerank needs a reranker"),
        ({"where": (Condition("year", "=", (1,)),)}, "'year' is no field"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    asked: dict[str, Any], said: str, index: LiveIndex
) -> None:
    with pytest.raises(BadSetting, match=said):
        index.search(["any"], **asked)


def test_words_cannot_be_asked_of_an_index_without() -> None:
    index = LiveIndex.create(MemoryShelf(), Scattered(), fields=FIELDS, words=False)
    index.upsert(DOCUMENTS)
    assert len(index.search([TEXTS[0]])[0].hits) == 10
    with pytest.raises(BadSetting, match="words"):
        index.search([WORDS[0]], words="ranks")


def test_exact_and_approximate_agree_where_all_is_looked_at(index: LiveIndex) -> None:
    (one,), (other,) = (index.search([QUERIES[4]], exact=exact) for exact in (False, True))
    assert one.hits == other.hits
    assert one.hits[0].score == pytest.approx(max(cosines(QUERIES[4])), abs=1e-5)
