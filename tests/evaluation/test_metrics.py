"""Metrics agree with loops, and trec_eval's habits surprise nobody."""

import math

import measure_twins as twins
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.errors import BadRecord
from nearfar.evaluation.metrics import METRICS, per_query

documents = st.lists(st.sampled_from([f"d{i:02}" for i in range(40)]), unique=True)
grades = st.dictionaries(
    st.sampled_from([f"d{i:02}" for i in range(40)]), st.integers(0, 4), min_size=1
).filter(lambda found: max(found.values()) > 0)


@given(documents, grades)
def test_each_is_what_its_loop_says(ranking: list[str], judged: dict[str, int]) -> None:
    found = per_query({"q": ranking}, {"q": judged})["q"]
    assert found == pytest.approx(
        {
            "ndcg_at_10_score": twins.ndcg(ranking, judged, 10),
            "recall_at_10_score": twins.recall(ranking, judged, 10),
            "recall_at_100_score": twins.recall(ranking, judged, 100),
            "mrr_at_10_score": twins.reciprocal_rank(ranking, judged, 10),
            "map_score": twins.average_precision(ranking, judged),
        }
    )
    assert set(found) == set(METRICS)


def test_the_order_given_is_the_order_counted() -> None:
    # trec_eval would put "z" before "a" if their scores were equal.
    ranking = [f"a{i:04}" for i in range(1_000)]
    found = per_query({"q": ranking}, {"q": {"a0009": 1}})["q"]
    assert found["mrr_at_10_score"] == pytest.approx(0.1)
    assert per_query({"q": ranking}, {"q": {"a0010": 1}})["q"]["mrr_at_10_score"] == 0


def test_a_query_that_found_nothing_counts_zero_and_does_not_vanish() -> None:
    found = per_query({"q": ["d"]}, {"q": {"d": 1}, "lost": {"d": 1}, "none": {"d": 1}})
    assert found["lost"] == dict.fromkeys(METRICS, 0.0)
    assert set(per_query({"none": []}, {"none": {"d": 1}})) == {"none"}


def test_a_query_without_an_answer_has_no_score() -> None:
    assert set(per_query({"q": ["d"], "r": ["d"]}, {"q": {"d": 1}, "r": {"d": 0}})) == {"q"}


def test_a_judged_negative_is_worth_as_little_as_an_unjudged_document() -> None:
    judged = per_query({"q": ["x", "d"]}, {"q": {"d": 2, "x": 0}})
    assert judged == per_query({"q": ["x", "d"]}, {"q": {"d": 2}})


def test_a_document_that_is_called_neither_counts_as_if_nobody_had_judged_it() -> None:
    unsaid = per_query({"q": ["x", "d", "y"]}, {"q": {"x": math.nan, "d": 2, "y": 0}})
    assert unsaid == per_query({"q": ["x", "d", "y"]}, {"q": {"d": 2, "y": 0}})
    assert unsaid["q"]["mrr_at_10_score"] == 0.5  # it keeps its place
    nobody = {"q": {"x": math.nan}}
    assert per_query({"q": ["x"]}, nobody) == {}  # and gives a query no answer


def test_grades_between_whole_numbers_are_rounded_and_an_answer_stays_one() -> None:
    found = per_query({"q": ["a", "b"]}, {"q": {"a": 0.2, "b": 2.6}})
    assert found == per_query({"q": ["a", "b"]}, {"q": {"a": 1, "b": 3}})


def test_a_document_twice_in_a_ranking_is_the_callers_slip() -> None:
    with pytest.raises(ValueError, match="names a document twice"):
        per_query({"q": ["d", "d"]}, {"q": {"d": 1}})


def test_queries_do_not_touch_each_other() -> None:
    runs = {f"q{i}": [f"d{(i + k) % 7}" for k in range(7)] for i in range(7)}
    judged = {query: {"d3": 2, "d5": 1} for query in runs}
    together = per_query(runs, judged)
    for query in runs:
        assert together[query] == per_query({query: runs[query]}, {query: judged[query]})[query]


def test_places_of_a_thousand_are_told_apart() -> None:
    ranking = [f"d{i:04}" for i in range(1_000)]
    for place in (99, 100, 998, 999):
        found = per_query({"q": ranking}, {"q": {ranking[place]: 1}})["q"]
        assert found["map_score"] == pytest.approx(1 / (place + 1))
        assert found["recall_at_100_score"] == (place < 100)


def test_an_id_may_hold_any_character() -> None:
    # Handed to trec_eval as they are, the first two are one id, and nDCG what memory held.
    ids = ["a\0b", "a\0c", "a\\0c", "a b", "ü\n", ""]
    for place, answer in enumerate(ids):
        found = per_query({"q\0r": ids, "q\0s": ids[::-1]},
                          {"q\0r": {answer: 1}, "q\0s": {answer: 1}})  # fmt: skip
        assert found["q\0r"]["mrr_at_10_score"] == pytest.approx(1 / (place + 1))
        assert found["q\0s"]["mrr_at_10_score"] == pytest.approx(1 / (6 - place))


def test_a_grade_that_trec_eval_cannot_hold_is_refused() -> None:
    assert per_query({"q": ["a"]}, {"q": {"a": 1_000}})["q"]["ndcg_at_10_score"] == 1
    with pytest.raises(BadRecord, match="Expected grades up to 1,000,000, found 1000"):
        per_query({"q": ["a"]}, {"q": {"a": 1e12}})
