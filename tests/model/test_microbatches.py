"""Groups of like length: every text once, within the budget, longest first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearfar.model.microbatches import micro_batches, pad

lengths = st.lists(st.integers(0, 40), max_size=60)


@given(lengths=lengths, budget=st.integers(1, 200))
def test_every_text_is_in_one_group_and_the_longest_come_first(
    lengths: list[int], budget: int
) -> None:
    groups = [rows.tolist() for rows in micro_batches(lengths, budget)]
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    in_order = [lengths[row] for group in groups for row in group]
    assert in_order == sorted(lengths, reverse=True)


@given(lengths=lengths, budget=st.integers(1, 200))
def test_only_a_text_alone_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    for rows in micro_batches(lengths, budget):
        padded = len(rows) * max(lengths[row] for row in rows)
        assert padded <= budget or len(rows) == 1


@given(lengths=lengths, budget=st.integers(1, 200))
def test_no_group_had_room_for_the_next_text(lengths: list[int], budget: int) -> None:
    groups = list(micro_batches(lengths, budget))
    for rows in groups[:-1]:
        assert (len(rows) + 1) * max(lengths[rows[0]], 1) > budget


def test_lengths_may_be_an_array() -> None:
    assert [rows.tolist() for rows in micro_batches(np.array([1, 3]), 3)] == [[1], [0]]


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8))
def test_padding_keeps_every_row_and_says_which_places_are_real(rows: list[list[int]]) -> None:
    ids, real = pad(rows, 77)
    assert [ids[i][real[i]].tolist() for i in range(len(rows))] == rows
    assert (ids[~real] == 77).all()
    assert real.shape[1] == max(map(len, rows))
    for row, kept in zip(rows, real.tolist(), strict=True):
        assert kept == [True] * len(row) + [False] * (len(kept) - len(row))  # on the right
