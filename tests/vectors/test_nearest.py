"""The nearest are the nearest, and the same ones every time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nearfar.vectors import nearest as module
from nearfar.vectors.nearest import nearest


def by_loops(queries: Tensor, candidates: Tensor, k: int) -> list[list[tuple[float, int]]]:
    """The slow twin: Python's sort of (score, place) pairs."""
    found = []
    for query in queries.tolist():
        scored = [
            (sum(a * b for a, b in zip(query, candidate, strict=True)), row)
            for row, candidate in enumerate(candidates.tolist())
        ]
        found.append(sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k])
    return found


def as_pairs(found: tuple[Tensor, Tensor]) -> list[list[tuple[float, int]]]:
    scores, rows = found
    return [
        list(zip(some, places, strict=True))
        for some, places in zip(scores.tolist(), rows.tolist(), strict=True)
    ]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Small whole numbers: many ties, and every score exact in float32."""
    dim = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 2), min_size=dim, max_size=dim)
    queries = draw(st.lists(row, max_size=5))
    candidates = draw(st.lists(row, max_size=30))
    return (
        torch.tensor(queries, dtype=torch.float32).reshape(len(queries), dim),
        torch.tensor(candidates, dtype=torch.float32).reshape(len(candidates), dim),
    )


@given(worlds(), st.integers(1, 35), st.integers(1, 40))
def test_it_finds_what_loops_find_in_the_same_order_whatever_the_block(
    world: tuple[Tensor, Tensor], k: int, block_rows: int
) -> None:
    queries, candidates = world
    found = nearest(queries, candidates, k, block_rows=block_rows)
    assert as_pairs(found) == by_loops(queries, candidates, k)


@given(worlds(), st.data(), st.integers(1, 35), st.integers(1, 40))
def test_among_some_rows_it_finds_what_it_would_find_if_there_were_no_others(
    world: tuple[Tensor, Tensor], data: st.DataObject, k: int, block_rows: int
) -> None:
    queries, candidates = world
    rows = data.draw(st.sets(st.integers(0, max(len(candidates) - 1, 0)), max_size=20))
    among = torch.tensor([row for row in sorted(rows) if row < len(candidates)], dtype=torch.long)
    scores, found = nearest(queries, candidates, k, among=among, block_rows=block_rows)
    want = nearest(queries, candidates[among], k)
    assert torch.equal(scores, want[0])
    assert torch.equal(found, among[want[1]])


def test_equals_keep_their_order_also_where_a_library_topk_would_not() -> None:
    queries = torch.ones(3, 1)
    candidates = torch.ones(5_000, 1)
    candidates[4_321] = 2.0
    rows = nearest(queries, candidates, 50, block_rows=1_000)[1]
    assert rows.tolist() == [[4_321, *range(49)]] * 3


def test_many_queries_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = torch.randn(50, 8), torch.randn(200, 8)
    whole = nearest(queries, candidates, 7)
    monkeypatch.setattr(module, "_QUERY_ROWS", 3)
    parts = nearest(queries, candidates, 7, block_rows=32)
    assert torch.equal(whole[1], parts[1])
    torch.testing.assert_close(whole[0], parts[0])


def test_it_agrees_with_a_full_sort_on_random_vectors() -> None:
    queries, candidates = torch.randn(20, 16), torch.randn(3_000, 16)
    scores, rows = nearest(queries, candidates, 10, block_rows=700)
    want = (queries.double() @ candidates.double().T).sort(dim=1, descending=True)
    assert torch.equal(rows, want.indices[:, :10])
    torch.testing.assert_close(scores, want.values[:, :10].float())


def test_half_precision_candidates_are_scored_in_float32() -> None:
    candidates = torch.randn(100, 64).half()
    queries = torch.randn(2, 64)
    scores, rows = nearest(queries, candidates, 5)
    assert scores.dtype == torch.float32
    want = nearest(queries, candidates.float(), 5)
    assert torch.equal(rows, want[1])
    assert torch.equal(scores, want[0])


def test_lengths_count_since_vectors_are_taken_as_they_are() -> None:
    candidates = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    scores, rows = nearest(torch.tensor([[2.0, 0.0]]), candidates, 2)
    assert (scores.tolist(), rows.tolist()) == ([[6.0, 2.0]], [[1, 0]])


def test_memory_mapped_candidates_are_read_where_they_lie(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 8), dtype=np.float32)
    vectors.tofile(tmp_path / "v")
    mapped = torch.from_numpy(np.memmap(tmp_path / "v", np.float32, "r+", shape=(500, 8)))
    queries = torch.randn(2, 8)
    assert torch.equal(
        nearest(queries, mapped, 3)[1], nearest(queries, torch.from_numpy(vectors), 3)[1]
    )


@pytest.mark.parametrize("place", [0, 17, 99])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_a_number_is_refused_wherever_it_stands(
    place: int, value: float
) -> None:
    candidates = torch.zeros(100, 2)
    candidates[place, 0] = value
    with pytest.raises(ValueError, match="not a number"):
        nearest(torch.zeros(1, 2), candidates, 3, block_rows=30)


def test_nothing_to_search_gives_no_places() -> None:
    scores, rows = nearest(torch.zeros(2, 3), torch.zeros(0, 3), 5)
    assert scores.shape == rows.shape == (2, 0)
    scores, rows = nearest(torch.zeros(0, 3), torch.zeros(4, 3), 5)
    assert scores.shape == rows.shape == (0, 4)


def test_gradients_are_left_behind() -> None:
    scores, _ = nearest(torch.ones(1, 2, requires_grad=True), torch.ones(3, 2), 2)
    assert not scores.requires_grad


@pytest.mark.parametrize(("k", "block_rows"), [(0, 5), (-1, 5), (5, 0)])
def test_no_places_or_no_rows_is_a_slip(k: int, block_rows: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        nearest(torch.zeros(1, 2), torch.zeros(1, 2), k, block_rows=block_rows)


def test_different_widths_are_a_slip() -> None:
    with pytest.raises(ValueError, match="2 dimensions and candidates 3"):
        nearest(torch.zeros(1, 2), torch.zeros(1, 3), 1)
