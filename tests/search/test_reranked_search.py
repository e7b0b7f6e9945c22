"""Candidates are read in the right order, within the time there is, and equal a plain loop."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from doubles import LETTERS
from hypothesis import given, settings
from hypothesis import strategies as st
from letter_reranker import LetterReranker
from shelf import QUERIES, TEXTS, Scattered, best, cosines, filled
from torch import Tensor

from nearfar.errors import BadModel, BadSetting, SpaceMismatch
from nearfar.progress import Progress, silent
from nearfar.records import Document
from nearfar.search.candidates import Candidate
from nearfar.search.documents_file import StoredDocuments
from nearfar.search.index import Index
from nearfar.search.reranked import Reranked, ordered, retrieve_then_rerank
from nearfar.search.search import search


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return filled(tmp_path_factory.mktemp("reranked"))


def ids(answer: Reranked) -> list[str]:
    return [hit.document.id for hit in answer.hits]


def looped(query: str, rows: Sequence[int], read: int, k: int) -> list[str]:
    """The first `read` of the candidates by the reranker, the others after them."""
    likes = [(-LetterReranker.like(query, TEXTS[row]), place) for place, row in enumerate(rows)]
    places = [place for _, place in sorted(likes[:read])] + list(range(read, len(rows)))
    return [f"d{rows[place]}" for place in places][:k]


@pytest.mark.parametrize(("k", "candidates"), [(1, 1), (3, 10), (10, 10), (10, 60), (5, 1_000)])
@pytest.mark.parametrize("query", QUERIES)
def test_the_order_is_that_of_a_plain_loop(
    query: str, k: int, candidates: int, index: Index
) -> None:
    found = retrieve_then_rerank(
        index, Scattered(), LetterReranker(), query, k=k, candidates=candidates
    )
    assert ids(found) == looped(query, best(cosines(query), candidates), candidates, k)
    assert found.reranked == found.candidates == min(candidates, len(TEXTS))
    assert not found.stopped_by_budget
    assert [hit.rank for hit in found.hits] == list(range(1, len(found.hits) + 1))


def test_a_hit_says_why_it_stands_there(index: Index) -> None:
    plain = search(index, Scattered(), QUERIES[0], k=20)
    found = retrieve_then_rerank(index, Scattered(), LetterReranker(), QUERIES[0], candidates=20)
    for hit in found.hits:
        before = plain[hit.found.rank - 1]
        assert before.document == hit.document
        assert hit.found.score == hit.found.cosine == before.score
        assert hit.found.vector_rank == hit.found.rank
        assert hit.score == LetterReranker.like(QUERIES[0], hit.document.content)
    assert any(hit.rank != hit.found.rank for hit in found.hits)


def test_many_queries_are_read_in_one_call_and_get_what_each_gets_alone(index: Index) -> None:
    reranker = LetterReranker()
    together = retrieve_then_rerank(index, Scattered(), reranker, QUERIES, candidates=20)
    assert reranker.waves == [20 * len(QUERIES)]
    for query, answer in zip(QUERIES, together, strict=True):
        alone = retrieve_then_rerank(index, Scattered(), reranker, query, candidates=20)
        assert (ids(answer), answer.reranked) == (ids(alone), alone.reranked)
        assert [hit.score for hit in answer.hits] == [hit.score for hit in alone.hits]
    assert retrieve_then_rerank(index, Scattered(), reranker, []) == []


def test_without_a_reranker_it_is_the_search(index: Index) -> None:
    found = retrieve_then_rerank(index, Scattered(), None, QUERIES[1], k=7)
    plain = search(index, Scattered(), QUERIES[1], k=7)
    assert ids(found) == [hit.document.id for hit in plain]
    assert found.reranked == 0
    assert not found.stopped_by_budget
    assert all(hit.score is None for hit in found.hits)


class Counted(StoredDocuments):
    """Remembers which rows were fetched."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rows: list[int] = []

    def fetch(self, rows: Iterable[int]) -> dict[int, Document]:
        some = list(rows)
        self.rows += some
        return super().fetch(some)


def test_only_what_is_read_or_returned_is_fetched(index: Index) -> None:
    documents = Counted(index.documents.path)
    counted, reranker = replace(index, documents=documents), LetterReranker()
    found = retrieve_then_rerank(
        counted, Scattered(), reranker, QUERIES[0], k=2, candidates=60, budget_seconds=20,
        clock=reranker.clock,
    )  # fmt: skip
    fetched = len(documents.rows)
    assert fetched == len(set(documents.rows))
    assert found.reranked <= fetched < 20  # or what the next wave would have read
    retrieve_then_rerank(counted, Scattered(), None, QUERIES[1], k=3, candidates=60)
    assert len(documents.rows) == fetched + 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 20))
def test_equal_logits_keep_the_order_of_retrieval(scores: list[int], read: int) -> None:
    found = [Candidate(row, row + 1, -row, -row, row + 1) for row in range(len(scores))]
    placed = ordered(found, [float(one) for one in scores[:read]])
    want = sorted(range(len(scores[:read])), key=lambda row: -scores[row])
    assert [one.row for one, _ in placed] == [*want, *range(len(want), len(scores))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be 1 or more, got 0"),
        ({"k": 11, "candidates": 10}, "candidates must be k, which is 11, or more, got 10"),
        ({"budget_seconds": 0.0}, "budget_seconds must be above 0, or none, got 0.0"),
        ({"budget_seconds": math.nan}, "budget_seconds must be above 0"),
        ({"where": {"lang": "de"}}, "no field 'lang'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: dict[str, object], message: str, index: Index
) -> None:
    with pytest.raises(BadSetting, match=message):
        retrieve_then_rerank(index, Scattered(), LetterReranker(), "x", **options)  # type: ignore[call-overload]


def test_another_model_is_refused_before_anything_is_read(index: Index) -> None:
    reranker = LetterReranker()
    stranger = Scattered(replace(LETTERS, weights="others"))
    with pytest.raises(SpaceMismatch, match="Cannot search this index"):
        retrieve_then_rerank(index, stranger, reranker, "x")
    assert reranker.waves == []


def test_a_score_that_is_no_number_is_said_with_its_document(index: Index) -> None:
    class Broken(LetterReranker):
        def score_pairs(self, *words: object, progress: Progress = silent) -> Tensor:
            found = super().score_pairs(*words)  # type: ignore[arg-type]
            found[3] = torch.nan
            return found

    rows = best(cosines(QUERIES[0]), 10)
    with pytest.raises(BadModel, match=rf"found nan for the query '{QUERIES[0]}' .* 'd{rows[3]}'"):
        retrieve_then_rerank(index, Scattered(), Broken(), QUERIES[0], candidates=10)
