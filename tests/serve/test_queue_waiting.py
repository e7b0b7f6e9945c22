"""What comes next of all that waits: batches of like length, and everybody in turn."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.serve.queue_waiting import Lane, Ticket, Waiting


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=6))
def test_no_batch_is_larger_than_it_may_be_but_for_one_long_text(
    requests: list[list[int]],
) -> None:
    waiting, lane = Waiting(), Lane("any", list, 64)
    for tokens in requests:
        waiting.add(lane, Ticket(len(tokens)), tokens, tokens)
    total = sum(map(len, requests))
    taken = 0
    while waiting.items:
        leader = min((e for line in waiting._lines.values() for e in line.by_length),
                     key=lambda entry: (entry.turn, entry.number))  # fmt: skip
        _, batch = waiting.take()
        assert leader in batch
        assert len(batch) * max(entry.tokens for entry in batch) <= 64
        taken += len(batch)
    assert taken == total
    assert waiting.tokens == 0


def test_texts_of_like_length_go_together() -> None:
    waiting, lane = Waiting(), Lane("any", list, 40)
    mixed = [10, 1, 9, 1, 10, 1, 9, 1]
    waiting.add(lane, Ticket(8), mixed, mixed)
    batches = []
    while waiting.items:
        batches.append(sorted(entry.tokens for entry in waiting.take()[1]))
    assert batches == [[9, 9, 10, 10], [1, 1, 1, 1]]


def test_a_short_request_does_not_wait_for_all_of_a_long_one() -> None:
    waiting, lane = Waiting(), Lane("any", list, 8)
    large, small = Ticket(1_000), Ticket(1)
    waiting.add(lane, large, range(1_000), [4] * 1_000)
    waiting.take()
    waiting.add(lane, small, ["small"], [4])
    next_two = waiting.take()[1] + waiting.take()[1]
    assert any(entry.ticket is small for entry in next_two)


def test_a_long_text_is_not_crowded_out_by_short_ones_that_keep_coming() -> None:
    waiting, lane = Waiting(), Lane("any", list, 64)
    waiting.add(lane, Ticket(1), ["long"], [60])
    for number in range(61):
        waiting.add(lane, Ticket(1), [f"short {number}"], [1])
        waiting.add(lane, Ticket(1), [f"shorter {number}"], [1])
        if any(entry.item == "long" for entry in waiting.take()[1]):
            return
    pytest.fail("the long text still waits")


def test_models_take_turns() -> None:
    waiting = Waiting()
    one, other = Lane("one", list, 4), Lane("other", list, 4)
    waiting.add(one, Ticket(100), range(100), [4] * 100)
    waiting.add(other, Ticket(2), range(2), [4] * 2)
    assert [waiting.take()[0].key for _ in range(4)] == ["one", "other", "one", "other"]
