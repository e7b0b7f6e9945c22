"""The order of the pairs is a function of the seed and the pass: each once, anywhere at once."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.training.batches import Batches
from nearfar.training.order import Ints, Order
from nearfar.training.settings import Training
from nearfar.training.store import TokenStore

PAIRS = 60


def order(**changes: object) -> Order:
    kept: dict[str, object] = {
        "document": np.arange(PAIRS),
        "size": 8,
        "queries_per_document": 1,
    }
    return Order(**(kept | changes))  # type: ignore[arg-type]


KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "by document": {"document": np.arange(PAIRS) // 5, "queries_per_document": 3},
    "by group": {"group": np.arange(PAIRS) % 7 % 3},
    "easy first": {"difficulty": np.linspace(0, 1, PAIRS)},
}


def listed(batches: list[Ints]) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("kind", KINDS)
def test_it_depends_on_the_seed_and_the_pass_and_on_nothing_that_came_before(kind: str) -> None:
    used = order(**KINDS[kind], seed=3)
    later = [listed(used.batches(epoch)) for epoch in (5, 0, 5)]
    np.random.seed(1)
    fresh = listed(order(**KINDS[kind], seed=3).batches(5))
    assert later[0] == later[2] == fresh
    assert fresh != later[1]
    assert fresh != listed(order(**KINDS[kind], seed=4).batches(5))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_has_as_many_batches_as_it_says(kind: str) -> None:
    found = order(**KINDS[kind])
    assert [len(found.batches(epoch)) for epoch in range(3)] == [found.steps] * 3


@pytest.mark.parametrize("kind", KINDS)
@given(size=st.integers(1, PAIRS), epoch=st.integers(0, 4))
def test_no_pair_comes_twice_in_a_pass_and_fewer_than_a_batch_are_left_out(
    kind: str, size: int, epoch: int
) -> None:
    batches = order(**KINDS[kind], size=size).batches(epoch)
    met = np.concatenate(batches)
    assert len(np.unique(met)) == len(met)
    if kind == "by group":
        assert len(met) == PAIRS
    else:
        assert {len(batch) for batch in batches} == {size}
        assert len(met) > PAIRS - size


def test_what_a_pass_left_out_comes_in_another() -> None:
    found = order(size=8)
    left = [set(range(PAIRS)) - set(np.concatenate(found.batches(e)).tolist()) for e in range(8)]
    assert {len(pairs) for pairs in left} == {PAIRS % 8}
    assert not set.intersection(*left)


def test_a_far_step_costs_no_more_than_the_first(store: TokenStore) -> None:
    settings = Training(pairs_per_step=6, epochs=1e9)
    far = 6 * 10**6 + 5  # to walk there would take minutes
    began = time.process_time()
    alone = Batches(store, settings)[far]
    assert time.process_time() - began < 1
    walked = Batches(store, settings)
    for step in (0, 7, far - 1):
        walked[step]
    assert alone.texts.tolist() == walked[far].texts.tolist()


documents = st.lists(st.integers(0, 6), min_size=1, max_size=40)


@given(documents, st.integers(2, 5), st.integers(0, 2))
def test_queries_of_a_document_come_one_after_the_other(
    of: list[int], together: int, epoch: int
) -> None:
    document = np.array(of)
    [pairs] = order(
        document=document, size=len(of), queries_per_document=together, seed=epoch
    ).batches(epoch)
    came = document[pairs]
    runs = 1 + np.count_nonzero(np.diff(came))
    counts = np.unique(document, return_counts=True)[1]
    assert runs <= (-(-counts // together)).sum()


def test_batches_hold_fewer_documents_and_more_queries_of_each() -> None:
    document = np.repeat(np.arange(30), 8)
    for together in (2, 4):
        found = order(document=document, size=8, queries_per_document=together)
        counts = [np.unique(document[batch], return_counts=True)[1] for batch in found.batches(0)]
        assert {int(count) % together for each in counts for count in each} == {0}
        # Two lumps of one document may meet in a batch, but seldom do.
        assert np.mean([len(each) for each in counts]) > 0.85 * 8 / together


def test_which_queries_of_a_document_come_together_changes_with_the_pass() -> None:
    found = order(document=np.zeros(8, dtype=np.int64), size=4, queries_per_document=4)
    met = {frozenset(found.batches(epoch)[0].tolist()) for epoch in range(10)}
    assert len(met) > 5


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50), st.integers(1, 9), st.integers(1, 4))
def test_a_group_is_kept_apart_and_cut_evenly(of: list[int], size: int, together: int) -> None:
    group = np.array(of)
    found = order(
        document=np.arange(len(of)) // 2, size=size, queries_per_document=together, group=group
    )
    batches = found.batches(0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(of)))
    sizes: dict[int, list[int]] = {}
    for batch in batches:
        [value] = set(group[batch].tolist())
        sizes.setdefault(value, []).append(len(batch))
    for lengths in sizes.values():
        assert max(lengths) <= size
        assert max(lengths) - min(lengths) <= 1


def test_batches_of_groups_come_mixed() -> None:
    group = np.repeat([0, 1], 80)
    first = [int(group[batch[0]]) for batch in order(
        document=np.arange(160), size=8, group=group
    ).batches(0)]  # fmt: skip
    assert first != sorted(first)
    assert first != sorted(first, reverse=True)


def test_the_first_pass_leans_to_what_is_easy_and_later_ones_do_not() -> None:
    difficulty = np.random.default_rng(0).permutation(400) * 1.0
    found = order(document=np.arange(400), size=100, difficulty=difficulty)
    means = np.array([[difficulty[batch].mean() for batch in found.batches(e)] for e in range(5)])
    assert (np.diff(means[0]) > 0).all()
    assert means[0, 3] - means[0, 0] > 150
    assert (np.abs(means[1:] - 200) < 50).all()
    assert (np.abs(np.diff(difficulty[np.concatenate(found.batches(0))])) > 20).any()  # not sorted
