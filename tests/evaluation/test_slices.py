"""Slices that lose are found; where nothing got worse, hardly any is ever called confirmed."""

from dataclasses import replace

import numpy as np
import pytest

from nearfar.errors import BadRecord, BadSetting
from nearfar.evaluation.holm import adjusted
from nearfar.evaluation.scores import Scores
from nearfar.evaluation.sign_flips import sign_flip_p
from nearfar.evaluation.slices import find_slices, losing_slices

Cohorts = dict[str, tuple[str, ...]]


def world(dice: np.random.Generator, count: int) -> tuple[Cohorts, list[str]]:
    """Four fields that have nothing to do with each other, in clusters of 1 to 3 queries."""
    cohorts = {
        name: tuple(f"{name}{v}" for v in dice.integers(0, values, count))
        for name, values in (("query.a", 3), ("query.b", 4), ("document.c", 2), ("derived.d", 3))
    }
    clusters = np.repeat(np.arange(count), dice.integers(1, 4, count))[:count]
    return cohorts, [f"c{i}" for i in clusters]


def noise(dice: np.random.Generator, count: int) -> np.ndarray:  # type: ignore[type-arg]
    """Differences of nDCG: most queries stay as they are."""
    return (dice.random(count) < 0.4) * dice.normal(0, 0.3, count).clip(-1, 1)


def test_where_nothing_got_worse_hardly_anything_is_confirmed() -> None:
    wrong, wrong_naively = 0, 0
    for run in range(250):
        dice = np.random.default_rng(run)
        cohorts, clusters = world(dice, 300)
        differences = noise(dice, 300)
        found = find_slices(differences, clusters, cohorts, most=4, resamples=999, seed=run)
        wrong += any(one.verdict == "confirmed" for one in found)
        if run >= 50:
            continue
        every = [np.array(labels) == v for labels in cohorts.values() for v in set(labels)]
        columns = np.stack([np.where(mask, differences, 0) for mask in every], axis=1)
        wrong_naively += sign_flip_p(columns, clusters, resamples=199).min() <= 0.05
    assert wrong / 250 <= 0.05
    assert wrong_naively / 50 > 0.25  # so that the test can fail


def test_a_loss_in_one_crossing_is_found() -> None:
    found_first = 0
    for run in range(20):
        dice = np.random.default_rng(1_000 + run)
        cohorts, clusters = world(dice, 1_400)
        both = np.array(cohorts["query.a"]) == "query.a1"
        both &= np.array(cohorts["query.b"]) == "query.b2"
        hit = np.flatnonzero(both)[:120]
        differences = noise(dice, 1_400)
        differences[hit] -= 0.15
        cohorts["query.a"] = tuple(  # exactly 120 queries are in the crossing
            "query.a0" if both[i] and i not in hit else v for i, v in enumerate(cohorts["query.a"])
        )
        found = find_slices(differences, clusters, cohorts, resamples=1_999, seed=run)
        first = found[0]
        found_first += first.verdict == "confirmed" and first.where == (
            ("query.a", "query.a1"), ("query.b", "query.b2"),
        )  # fmt: skip
    assert found_first >= 18


def test_what_is_reported_is_what_the_held_back_half_says() -> None:
    dice = np.random.default_rng(5)
    cohorts, clusters = world(dice, 800)
    differences = noise(dice, 800) - 0.2 * (np.array(cohorts["document.c"]) == "document.c0")
    found = find_slices(differences, clusters, cohorts, resamples=999)
    assert [one.p for one in found] == sorted(one.p for one in found)
    assert len(found) == 10
    for one in found:
        mask = np.logical_and.reduce([np.array(cohorts[f]) == v for f, v in one.where])
        assert one.queries == mask.sum()
        assert one.confirmed.n >= 20
        assert one.queries - one.confirmed.n >= 20
        both = one.confirmed.n * one.confirmed.mean + (one.queries - one.confirmed.n) * one.found
        assert both == pytest.approx(differences[mask].sum())
    worst = next(one for one in found if one.where == (("document.c", "document.c0"),))
    assert worst.sentence.startswith("Confirmed: where document.c = document.c0, the candidate")


def test_a_cluster_is_never_on_both_halves() -> None:
    clusters = [f"c{i // 30}" for i in range(600)]
    cohorts = {"query.own": tuple(clusters)}
    assert find_slices(np.full(600, -0.1), clusters, cohorts) == ()


def test_the_same_queries_under_another_name_are_proposed_once() -> None:
    dice = np.random.default_rng(6)
    cohorts, clusters = world(dice, 600)
    cohorts["query.twin"] = tuple(f"twin of {v}" for v in cohorts["query.a"])
    cohorts["query.a & query.b"] = tuple("x" for _ in clusters)
    found = find_slices(noise(dice, 600) - 0.1, clusters, cohorts, most=60, resamples=99)
    assert len(found) > 20
    assert not any("query.twin" in one.name for one in found)
    assert not any(len(one.where) > 1 and "query.a & query.b =" in one.name for one in found)


def test_holm_is_what_its_steps_say() -> None:
    assert adjusted(np.array([0.04, 0.01, 0.03, 0.005])).tolist() == pytest.approx(
        [0.06, 0.03, 0.06, 0.02]
    )
    assert adjusted(np.array([0.9, 0.8])).tolist() == [1, 1]


def scores(values: np.ndarray, name: str = "ndcg_at_10_score") -> Scores:  # type: ignore[type-arg]
    count = len(values)
    return Scores(
        system="x", space=None, dataset="d", split="test", documents=9,
        queries=tuple(f"q{i}" for i in range(count)), clusters=tuple(map(str, range(count))),
        cohorts={"query.a": tuple("ab"[i % 2] for i in range(count))}, values={name: values},
    )  # fmt: skip


def test_of_a_loss_more_is_worse() -> None:
    dice = np.random.default_rng(7)
    old, change = np.zeros(200), np.where(np.arange(200) % 2, 0.3, 0.0) + dice.normal(0, 0.1, 200)
    (up,) = losing_slices(scores(old, "x_loss"), scores(change, "x_loss"), "x_loss")[:1]
    (down,) = losing_slices(scores(old), scores(-change), "ndcg_at_10_score")[:1]
    assert up.where == down.where == (("query.a", "b"),)
    assert up.verdict == down.verdict == "confirmed"
    assert up.confirmed.mean == -down.confirmed.mean > 0.2
    assert up.confirmed.low == -down.confirmed.high  # type: ignore[operator]
    assert up.p == down.p


def test_scores_of_other_queries_or_without_the_metric_are_refused() -> None:
    one, other = scores(np.zeros(50)), scores(np.zeros(49))
    with pytest.raises(BadRecord, match="expected scores of the same queries"):
        losing_slices(one, other, "ndcg_at_10_score")
    with pytest.raises(BadSetting, match="There are: ndcg_at_10_score"):
        losing_slices(one, replace(one, system="y"), "map_score")
    with pytest.raises(ValueError, match="not a number"):
        find_slices(np.array([np.nan]), ["a"], {})
