"""Pairs, triplets, labels, clusters and translations: what sklearn and plain loops say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

from nearfar.errors import BadRecord, BadSetting
from nearfar.evaluation.bitext import find_translations, mining_f1
from nearfar.evaluation.labels import clustered, macro_f1, neighbours_say, v_measure
from nearfar.evaluation.pair_classification import (
    average_precision,
    choose_thresholds,
    f1_at,
    right_at,
)
from nearfar.evaluation.triplets import triplet_accuracy
from nearfar.evaluation.whole_sets import whole_estimate
from nearfar.vectors.similarity import unit

pairs = st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=2, max_size=40).filter(
    lambda found: len({answer for _, answer in found}) == 2
)


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_no_threshold_is_better_than_the_one_chosen(found: list[tuple[int, bool]]) -> None:
    cosines = np.array([cosine / 9 for cosine, _ in found])
    answers = np.array([answer for _, answer in found])
    chosen = choose_thresholds(cosines, answers)
    every = [-2.0, *np.unique(cosines), 2.0]
    best_f1 = max(f1_score(answers, cosines >= t, zero_division=0) for t in every)
    best_accuracy = max(accuracy_score(answers, cosines >= t) for t in every)
    assert f1_at(cosines, answers, chosen.f1) == pytest.approx(best_f1)
    assert right_at(cosines, answers, chosen.accuracy).mean() == pytest.approx(best_accuracy)


def test_a_threshold_lies_between_what_it_divides() -> None:
    cosines, answers = np.array([0.1, 0.3, 0.7, 0.9]), np.array([False, False, True, True])
    chosen = choose_thresholds(cosines, answers)
    assert chosen.f1 == chosen.accuracy == pytest.approx(0.5)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_average_precision_is_the_sum_over_thresholds(found: list[tuple[int, bool]]) -> None:
    cosines = np.array([cosine / 9 for cosine, _ in found])
    answers = np.array([answer for _, answer in found])
    total = recall = 0.0
    for threshold in sorted(set(cosines), reverse=True):
        called = cosines >= threshold
        new = (called & answers).sum() / answers.sum()
        total += (new - recall) * (called & answers).sum() / called.sum()
        recall = new
    assert average_precision(cosines, answers) == pytest.approx(total)


def test_pairs_of_one_kind_are_refused() -> None:
    for what in (choose_thresholds, average_precision):
        with pytest.raises(BadRecord, match="found 3 and 0"):
            what(np.arange(3.0), np.ones(3, dtype=bool))


def test_a_query_with_many_negatives_counts_once_and_equals_are_wrong() -> None:
    right = np.array([0.9, 0.9, 0.5, 0.4])
    wrong = np.array([0.1, 0.95, 0.5, 0.3])
    found = triplet_accuracy(right, wrong, np.array([0, 0, 1, 2]), 3)
    assert found.tolist() == [0.5, 0.0, 1.0]
    with pytest.raises(ValueError, match="query 1 has no triplet"):
        triplet_accuracy(right, wrong, np.array([0, 0, 2, 2]), 3)


def some_vectors(seed: int, n: int, labels: int) -> tuple[torch.Tensor, np.ndarray]:
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, labels, n)
    middles = np.random.default_rng(99).normal(size=(labels, 8))
    points = middles[truth] + dice.normal(size=(n, 8)) * 1.2
    return unit(torch.tensor(points, dtype=torch.float32)), truth


@pytest.mark.parametrize("k", [1, 3, 7])
def test_neighbours_of_two_labels_say_what_sklearn_says(k: int) -> None:
    known, labels = some_vectors(0, 80, 2)
    asked, _ = some_vectors(1, 50, 2)
    theirs = KNeighborsClassifier(k, metric="cosine").fit(known.numpy(), labels)
    assert (neighbours_say(asked, known, labels, k=k) == theirs.predict(asked.numpy())).all()


@pytest.mark.parametrize("k", [2, 4, 5, 100])
def test_neighbours_of_many_labels_say_what_a_loop_says(k: int) -> None:
    known, labels = some_vectors(2, 60, 6)
    asked, _ = some_vectors(3, 40, 6)
    said = neighbours_say(asked, known, labels, k=k)
    for row, point in enumerate(asked):
        cosines = known @ point
        votes: dict[int, list[float]] = {}
        for place in sorted(range(60), key=lambda i: -float(cosines[i]))[:k]:
            votes.setdefault(int(labels[place]), []).append(float(cosines[place]))
        best = max(votes.values(), key=lambda own: (len(own), sum(own)))
        assert votes[int(said[row])] == best


def test_among_equal_votes_the_nearest_wins() -> None:
    known = torch.eye(3)[[0, 1, 2]]
    asked = unit(torch.tensor([[0.2, 0.9, 0.3]]))
    assert neighbours_say(asked, known, np.array([0, 1, 2]), k=3).tolist() == [1]
    same = torch.eye(2)[[0, 0]]
    assert neighbours_say(torch.eye(2)[:1], same, np.array([7, 3]), k=2).tolist() == [7]
    with pytest.raises(BadSetting, match="neighbours must be 1 or more"):
        neighbours_say(asked, known, np.array([0, 1, 2]), k=0)


def test_macro_f1_counts_labels_and_not_texts() -> None:
    truth, guessed = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 0, 2])
    assert macro_f1(truth, guessed) == pytest.approx(0.5)


def test_clusters_that_lie_apart_are_found_and_seeds_repeat() -> None:
    truth = np.repeat(np.arange(3), 10)
    noise = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)) * 0.05
    vectors = unit(torch.eye(6)[truth] + noise)
    found = clustered(vectors, 3, seeds=(0, 1))
    assert found.shape == (2, 30)
    assert max(v_measure(truth, own) for own in found) == pytest.approx(1)
    assert (clustered(vectors, 3, seeds=(0, 1)) == found).all()
    alike = clustered(torch.ones(4, 2), 3, seeds=(0,))  # fewer places than clusters: no warning
    assert v_measure(np.array([0, 1, 2, 0]), alike[0]) == 0
    with pytest.raises(BadSetting, match="clusters must be 1 to 30"):
        clustered(vectors, 31)


def test_translations_are_looked_for_both_ways() -> None:
    # 0 and 1 find each other; 2 is nearest to the translation of 1, which is not nearest to it
    queries = unit(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0.9]]))
    documents = unit(torch.tensor([[1.0, 0.1, 0], [0, 1, 0.3], [1, 0, 0.9]]))
    found = find_translations(queries, documents, [{0}, {1}, {2}])
    assert found.there.tolist() == [1, 1, 0]
    assert found.back.tolist() == [1, 1, 0]
    assert found.mutual.tolist() == [True, True, False]
    assert mining_f1(found.right, found.mutual, 3) == pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3))
    both = find_translations(queries[:1], documents, [{0, 2}])
    assert both.accuracy.tolist() == [1]  # each of its two translations has it alone to find
    with pytest.raises(ValueError, match="every text needs a translation"):
        find_translations(queries, documents, [{0}, set(), {1}])


def test_several_texts_with_one_translation_need_not_all_be_its_nearest() -> None:
    queries = unit(torch.tensor([[1.0, 0], [1, 0.2], [0, 1]]))
    documents = torch.eye(2)
    found = find_translations(queries, documents, [{0}, {0}, {1}])
    assert found.accuracy.tolist() == [1, 1, 1]
    assert found.mutual.tolist() == [True, False, True]


def test_the_interval_of_a_mean_taken_as_a_whole_is_that_of_the_mean() -> None:
    dice = np.random.default_rng(0)
    values = dice.normal(0.5, 0.1, 80)
    found = whole_estimate(lambda rows: float(values[rows].mean()), [f"{i}" for i in range(80)])
    half = 1.990 * values.std(ddof=1) / np.sqrt(80)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=1e-4)
    assert found.high == pytest.approx(values.mean() + half, abs=1e-4)


def test_the_interval_of_a_whole_holds_the_truth_with_few_and_with_many_clusters() -> None:
    dice = np.random.default_rng(2)
    for size, clusters in ((60, 60), (900, 300)):
        held = 0
        for _ in range(120):
            shared = np.repeat(dice.normal(0, 1, clusters), size // clusters)
            values = shared + dice.normal(0, 0.3, size)
            names = [f"{i * clusters // size}" for i in range(size)]
            found = whole_estimate(lambda rows: float(values[rows].mean()),  # noqa: B023
                                   names, span=(-9, 9))  # fmt: skip
            assert found.low is not None
            assert found.high is not None
            held += found.low <= 0 <= found.high
        assert 106 <= held <= 120, (size, held)


def test_where_nothing_moves_a_number_nothing_is_known_of_its_error() -> None:
    found = whole_estimate(lambda _: 1.0, [f"{i}" for i in range(60)])
    assert (found.mean, found.low, found.high, found.n) == (1.0, None, None, 60)
    with pytest.raises(ValueError, match="at least one member"):
        whole_estimate(lambda _: 1.0, [])


def test_two_texts_that_find_each_other_need_not_be_translations() -> None:
    # what each says, the other side's other text says: both pairs are mutual, and wrong
    found = find_translations(torch.eye(2), torch.eye(2), [{1}, {0}])
    assert found.mutual.tolist() == [True, True]
    assert found.right.tolist() == [False, False]
    assert mining_f1(found.right, found.mutual, 2) == 0
