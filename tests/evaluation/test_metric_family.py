"""Every metric, for any k, is what trec_eval makes of the plain rankings; names are read well."""

import math

import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.errors import BadSetting
from nearfar.evaluation.metrics import metric, per_query

ids = st.sampled_from([f"d{i:02}" for i in range(40)])
rankings = st.dictionaries(
    st.sampled_from("abcd"), st.lists(ids, unique=True, max_size=40), max_size=4
)
judgments = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(ids, st.integers(0, 4), min_size=1).filter(lambda own: max(own.values()) > 0),
    min_size=1,
)
places = st.integers(1, 50)

THEIRS = {
    "ndcg_at_{k}_score": "ndcg_cut_{k}",
    "recall_at_{k}_score": "recall_{k}",
    "precision_at_{k}_score": "P_{k}",
    "map_at_{k}_score": "map_cut_{k}",
    "hit_at_{k}_score": "success_{k}",
    "map_score": "map",
    "r_precision_score": "Rprec",
    "mrr_score": "recip_rank",
}


def plain(
    runs: dict[str, list[str]], judged: dict[str, dict[str, int]], names: set[str]
) -> dict[str, dict[str, float]]:
    """Ask trec_eval as anybody would: ids as they are, scores that fall, the whole rankings."""
    scored = {q: {d: 100.0 - i for i, d in enumerate(run)} for q, run in runs.items() if run}
    return pytrec_eval.RelevanceEvaluator(judged, names).evaluate(scored)


@settings(max_examples=60, deadline=None)
@given(rankings, judgments, st.lists(places, min_size=1, max_size=3))
def test_each_is_what_trec_eval_says(
    runs: dict[str, list[str]], judged: dict[str, dict[str, int]], ks: list[int]
) -> None:
    pairs = {(ours.format(k=k), theirs.format(k=k)) for ours, theirs in THEIRS.items() for k in ks}
    found = per_query(runs, judged, [ours for ours, _ in pairs])
    wanted = plain(runs, judged, {theirs for _, theirs in pairs})
    assert set(found) == set(judged)
    for query, values in found.items():
        for ours, theirs in pairs:
            # who found nothing is not in trec_eval's answer, and counts 0
            assert values[ours] == pytest.approx(wanted.get(query, {}).get(theirs, 0.0)), ours


@settings(max_examples=40, deadline=None)
@given(rankings, judgments, places)
def test_those_that_trec_eval_lacks_are_what_loops_say(
    runs: dict[str, list[str]], judged: dict[str, dict[str, int]], k: int
) -> None:
    names = [f"{family}_at_{k}_score" for family in ("mrr", "judged", "binary_ndcg")]
    for query, values in per_query(runs, judged, names).items():
        first, grades = runs.get(query, [])[:k], judged[query]
        right = [grades.get(d, 0) > 0 for d in first]
        reciprocal = 1 / (right.index(True) + 1) if any(right) else 0.0
        known = sum(d in grades for d in first) / len(first) if first else 0.0
        gained = math.fsum(hit / math.log2(i + 2) for i, hit in enumerate(right))
        answers = sum(grade > 0 for grade in grades.values())
        best = math.fsum(1 / math.log2(i + 2) for i in range(min(k, answers)))
        assert list(values.values()) == pytest.approx([reciprocal, known, gained / best])


def test_the_last_place_counts_and_the_one_after_it_does_not() -> None:
    for k in (1, 2, 3, 7, 49, 98):  # 1 / 49 and the like are no round numbers
        run = [f"d{i}" for i in range(120)]
        names = [f"{family}_at_{k}_score" for family in ("mrr", "hit", "recall", "map")]
        inside = per_query({"q": run}, {"q": {f"d{k - 1}": 1}}, names)["q"]
        outside = per_query({"q": run}, {"q": {f"d{k}": 1}}, names)["q"]
        assert list(inside.values()) == pytest.approx([1 / k, 1, 1, 1 / k])
        assert list(outside.values()) == [0, 0, 0, 0]


def test_a_document_called_neither_is_judged_by_nobody() -> None:
    judged = {"q": {"right": 1, "wrong": 0, "neither": math.nan}}
    found = per_query({"q": ["neither", "wrong", "x", "right"]}, judged, ["judged_at_10_score"])
    assert found["q"]["judged_at_10_score"] == 0.5


def test_more_queries_than_stand_in_memory_at_once_are_all_counted() -> None:
    runs = {f"q{i}": [f"d{j}" for j in range(i % 7)] for i in range(1_500)}
    found = per_query(runs, {query: {"d3": 1} for query in runs}, ["mrr_score"])
    assert list(found) == list(runs)
    assert [own["mrr_score"] for own in found.values()] == [
        0.25 if i % 7 > 3 else 0 for i in range(1_500)
    ]


def test_only_what_is_asked_is_there_in_the_order_asked() -> None:
    names = ["precision_at_5_score", "judged_at_3_score", "ndcg_at_20_score"]
    assert list(per_query({"q": ["d"]}, {"q": {"d": 1}}, names)["q"]) == names
    assert per_query({}, {"q": {"d": 1}}, names)["q"] == dict.fromkeys(names, 0.0)
    assert per_query({}, {}, names) == {}


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("ndgc_at_10_score", "'ndcg_at_10_score'"),
        ("ndcg@5", "'ndcg_at_5_score'"),
        ("precision_score", "'r_precision_score'"),
        ("recall_at_0_score", "'recall_at_10_score'"),
        ("hit_at_007_score", "'hit_at_7_score'"),
        ("mrr_at_10", "'mrr_at_10_score'"),
        ("recall_at_99999999999999999999_score", "from 1 to 1,000,000"),
        ("", "There are: ndcg_at_K_score, "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(BadSetting, match=r"metrics: there is no") as caught:
        metric(wrong)
    assert near in str(caught.value)
    with pytest.raises(BadSetting):
        per_query({}, {}, [wrong])
