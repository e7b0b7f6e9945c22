"""Meaning and words together: fused as a plain loop does, whoever brought a document."""

import math

import pytest
from letter_reranker import LetterReranker
from shelf import QUERIES, TEXTS, Scattered, best, cosines, filled
from test_lexical_index import slow_bm25

from nearfar.errors import BadSetting
from nearfar.search.candidates import Fusion, find_candidates
from nearfar.search.index import Index, open_lexical
from nearfar.search.reranked import Reranked, retrieve_then_rerank
from nearfar.search.search import search


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return filled(tmp_path_factory.mktemp("fusion"))


def ids(answer: Reranked) -> list[str]:
    return [hit.document.id for hit in answer.hits]


def test_a_filter_holds_for_meaning_and_for_words(index: Index) -> None:
    fusion = Fusion(open_lexical(index))
    for chosen in (None, fusion):
        found = retrieve_then_rerank(
            index, Scattered(), LetterReranker(), QUERIES[0], k=60,
            where={"side": "right"}, fusion=chosen,
        )  # fmt: skip
        assert sorted(ids(found)) == sorted(f"d{i}" for i in range(0, 60, 3))


def slow_fusion(query: str, k: int, weight: float | None) -> list[tuple[int, float]]:
    meaning, words = cosines(query), slow_bm25(query, TEXTS)
    near = best(meaning, k)
    worded = [row for row in best(words, k) if words[row] > 0]
    union = sorted({*near, *worded})
    if weight is None:
        scores = {
            row: sum(1 / (61 + rows.index(row)) for rows in (near, worded) if row in rows)
            for row in union
        }
    else:
        top, most = max(meaning), max(words)
        scores = {
            row: weight * (meaning[row] + 1) / (top + 1) + (1 - weight) * words[row] / most
            for row in union
        }
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:k]


@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("query", QUERIES)
def test_fusion_is_that_of_a_plain_loop(query: str, weight: float | None, index: Index) -> None:
    fusion = Fusion(open_lexical(index), weight)
    vectors = Scattered().encode([query], "query")
    (found,) = find_candidates(index.vectors, vectors, [query], 12, fusion=fusion)
    want = slow_fusion(query, 12, weight)
    assert [one.row for one in found] == [row for row, _ in want]
    assert [one.score for one in found] == pytest.approx([score for _, score in want], rel=1e-5)
    meaning, words = cosines(query), slow_bm25(query, TEXTS)
    for one in found:
        assert one.cosine == pytest.approx(meaning[one.row], abs=1e-6)
        assert one.bm25 == pytest.approx(words[one.row], rel=1e-5)
        assert one.vector_rank == (best(meaning, 12).index(one.row) + 1
                                   if one.row in best(meaning, 12) else None)  # fmt: skip


@pytest.mark.parametrize("weight", [None, 0.5])
def test_words_that_no_document_has_leave_meaning_alone(weight: float | None, index: Index) -> None:
    fusion = Fusion(open_lexical(index), weight)
    found = retrieve_then_rerank(index, Scattered(), None, "xyz, uvw!", fusion=fusion)
    assert ids(found) == [hit.document.id for hit in search(index, Scattered(), "xyz, uvw!")]
    assert {hit.found.bm25 for hit in found.hits} == {0}
    assert {hit.found.word_rank for hit in found.hits} == {None}


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_out_of_its_range_is_refused(weight: float, index: Index) -> None:
    with pytest.raises(BadSetting, match="the weight of a fusion must be between 0 and 1"):
        Fusion(open_lexical(index), weight)
