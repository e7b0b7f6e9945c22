"""A search within a time: no wave begins that should not end in it, however long texts are."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from doubles import LETTERS, LetterEncoder
from letter_reranker import LetterReranker, LongReader
from shelf import QUERIES, Scattered, best, cosines, filled, shelf
from test_reranked_search import ids, looped
from torch import Tensor

from nearfar.progress import Progress, silent
from nearfar.records import Document, Role
from nearfar.search.documents_file import StoredDocuments
from nearfar.search.index import Index, build_index
from nearfar.search.reranked import Reranked, retrieve_then_rerank


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return filled(tmp_path_factory.mktemp("budget"))


def budgeted(
    index: Index, query: str | list[str], seconds: float, speed: float = 1.0
) -> tuple[list[Reranked], LetterReranker]:
    reranker = LetterReranker(speed)
    found = retrieve_then_rerank(
        index, Scattered(), reranker, [query] if isinstance(query, str) else query,
        k=60, candidates=60, budget_seconds=seconds, clock=reranker.clock,
    )  # fmt: skip
    return found, reranker


@pytest.mark.parametrize("seconds", [1, 8, 9, 10, 20, 50, 100, 119, 121, 1e9, math.inf])
@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_within_a_budget_the_first_are_read_and_the_others_follow(
    seconds: float, speed: float, index: Index
) -> None:
    ((found,), reranker) = budgeted(index, QUERIES[2], seconds, speed)
    rows = best(cosines(QUERIES[2]), 60)
    assert sum(reranker.waves) == found.reranked
    assert found.stopped_by_budget == (found.reranked < 60)
    assert ids(found) == looped(QUERIES[2], rows, found.reranked, 60)
    unread = [hit for hit in found.hits if hit.score is None]
    assert len(unread) == 60 - found.reranked
    assert unread == found.hits[found.reranked :]
    first = 8 / speed
    assert reranker.now <= max(seconds, first)  # only the first wave may be too long
    if math.isfinite(seconds) and seconds > 2 * first:
        # Nor is time left unused, but for what the next might take, were it three times as long.
        assert reranker.now >= min(seconds, 60 / speed) - 6 / speed


def test_a_budget_that_is_large_changes_nothing(index: Index) -> None:
    free = retrieve_then_rerank(index, Scattered(), LetterReranker(), QUERIES, k=60, candidates=60)
    for seconds in (1e9, math.inf):
        found, _ = budgeted(index, QUERIES, seconds)
        assert [answer.hits for answer in found] == [answer.hits for answer in free]
        assert not any(answer.stopped_by_budget for answer in found)


def test_time_that_retrieval_took_is_not_there_for_reading(index: Index) -> None:
    reranker = LetterReranker()

    class Slow(Scattered):
        def encode(
            self, contents: Sequence[str], role: Role, *, progress: Progress = silent
        ) -> Tensor:
            reranker.now += 30
            return super().encode(contents, role)

    found = retrieve_then_rerank(
        index, Slow(), reranker, QUERIES[0], budget_seconds=30, clock=reranker.clock
    )
    assert (found.reranked, found.stopped_by_budget, reranker.waves) == (0, True, [])
    assert found.seconds.encoding == found.seconds.total == 30


def test_a_slow_answer_to_many_queries_is_shared_out(index: Index) -> None:
    found, _ = budgeted(index, QUERIES, 40)
    read = [answer.reranked for answer in found]
    assert max(read) - min(read) <= 1
    assert sum(read) in range(33, 41)


@pytest.mark.parametrize("seconds", [50, math.inf])
def test_seconds_are_those_of_each_stage(seconds: float, index: Index) -> None:
    ((found,), reranker) = budgeted(index, QUERIES[0], seconds)
    assert found.seconds.reranking == found.seconds.total == reranker.now == found.reranked
    assert found.reranked > 8  # more than one wave


class InOrder(LetterEncoder):
    """A text begins with its place; the lower, the nearer to any query, which is at 0."""

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        angles = torch.tensor([int(text.split()[0]) for text in contents]) / 100
        return torch.nn.functional.pad(
            torch.stack([angles.cos(), angles.sin()], dim=1), (0, LETTERS.dim - 2)
        )


def of_lengths(folder: Path, lengths: Sequence[int]) -> Index:
    """An index of documents of these lengths, the first the nearest."""
    texts = [f"{place:<3}{'x' * length}" for place, length in enumerate(lengths)]
    return build_index(InOrder(), shelf(folder / "data", texts), folder / "index")


SHORT, LONG = 40, 4_000
GROWING = {
    "short, then long": ([SHORT] * 8 + [LONG] * 60, None),
    "long, then short": ([LONG] * 8 + [SHORT] * 60, None),
    "in turns": ([SHORT, LONG] * 30, None),
    "one long and cut": ([SHORT] * 7 + [1_000_000] + [LONG] * 60, 100),
}


@pytest.mark.parametrize(("lengths", "max_tokens"), GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("seconds_per_pair", [0, 100])
def test_a_wave_of_long_texts_is_a_small_one(
    seconds_per_pair: float, lengths: list[int], max_tokens: int | None, tmp_path: Path
) -> None:
    index = of_lengths(tmp_path, lengths)
    for waves in (3, 10, 30):  # as long as so many first waves take
        reranker = LongReader(max_tokens, seconds_per_pair=seconds_per_pair)
        texts = [one.content for one in index.documents.fetch(range(8)).values()]
        budget = waves * sum(reranker.seconds("0", text) for text in texts)
        found = retrieve_then_rerank(
            index, InOrder(), reranker, "0", candidates=60, budget_seconds=budget,
            clock=reranker.clock,
        )  # fmt: skip
        assert reranker.now <= budget
        assert found.reranked == sum(reranker.waves) >= 8
        longest = max(reranker.seconds("0", "x" * length) for length in lengths)
        assert found.reranked == found.candidates or reranker.now >= budget - 3 * longest


class Slow(StoredDocuments):
    """A second passes with each document that is fetched."""

    reranker: LetterReranker

    def fetch(self, rows: Iterable[int]) -> dict[int, Document]:
        found = super().fetch(rows)
        self.reranker.now += len(found)
        return found


@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("seconds", [60, 75, 100])
def test_there_is_time_to_fetch_what_is_returned(seconds: float, k: int, index: Index) -> None:
    documents, reranker = Slow(index.documents.path), LetterReranker()
    documents.reranker = reranker
    found = retrieve_then_rerank(
        replace(index, documents=documents), Scattered(), reranker, QUERIES[0], k=k,
        candidates=60, budget_seconds=seconds, clock=reranker.clock,
    )  # fmt: skip
    assert len(found.hits) == k
    assert found.seconds.total == reranker.now <= seconds
    assert found.reranked >= 8


def test_a_budget_that_fetching_has_used_up_reads_nothing(index: Index) -> None:
    documents, reranker = Slow(index.documents.path), LetterReranker()
    documents.reranker = reranker
    found = retrieve_then_rerank(
        replace(index, documents=documents), Scattered(), reranker, QUERIES[0], k=2,
        budget_seconds=5, clock=reranker.clock,
    )  # fmt: skip
    assert (found.reranked, reranker.waves, len(found.hits)) == (0, [], 2)
