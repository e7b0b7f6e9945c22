"""Two results that do not measure the same thing are refused before anything is decided."""

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from results import METRIC, pair

from nearfar.errors import BadSetting, DataMismatch
from nearfar.evaluation.scores import Scores
from nearfar.release.deciding import decide
from nearfar.release.policy import Change, Floor, Policy
from nearfar.release.verdict import Verdict


def judged(candidate: Scores, baseline: Scores, **policy: Any) -> Verdict:
    return decide(Policy(**policy), candidate, baseline, today=dt.date(2026, 11, 21))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": {METRIC: np.r_[math.nan, np.zeros(49)]}}, r"nan for query 'q0'"),
        ({"values": {METRIC: np.r_[1.5, np.zeros(49)]}}, r"1.5 for query 'q0'"),
        ({"values": {METRIC: np.zeros(49)}}, r"found 49"),
        ({"values": {}}, "found no metric"),
        ({"queries": (*(f"q{i}" for i in range(49)), "q99")}, r"baseline lacks: 'q99'"),
        ({"queries": ("q0",) * 50}, "each query once"),
        ({"dataset": "other"}, "digest of the dataset"),
        ({"split": "dev"}, "split"),
        ({"documents": 99}, "number of documents"),
        ({"clusters": ("c",) * 50}, "clusters"),
        ({"cohorts": {"query.part": ("a",) * 50}}, "cohorts by query.part"),
    ],
)
def test_what_is_not_the_same_is_refused(change: dict[str, Any], message: str) -> None:
    candidate, baseline = pair(50)
    with pytest.raises(DataMismatch, match=message):
        judged(replace(candidate, **change), baseline)


def test_a_query_too_many_or_too_few_is_refused() -> None:
    for candidate, baseline in ((pair(50)[0], pair(49)[1]), (pair(49)[0], pair(50)[1])):
        with pytest.raises(DataMismatch, match="'q49'"):
            judged(candidate, baseline)


def test_whoever_measured_fewer_cohorts_is_not_asked_less() -> None:
    candidate, baseline = pair(50, cohorts={"query.part": ("a",) * 25 + ("b",) * 25})
    for one, other in ((replace(candidate, cohorts={}), baseline),
                       (candidate, replace(baseline, cohorts={}))):  # fmt: skip
        with pytest.raises(DataMismatch, match=r"cohorts by query\.part"):
            judged(one, other)


@pytest.mark.parametrize(
    "bar",
    [{"changes": (Change(metric=METRIC, margin=2.0),)},
     {"changes": (), "floors": (Floor(metric=METRIC, at_least=0.0),)},
     {"changes": (), "floors": (Floor(metric=METRIC, at_least=50.0),)}],
)  # fmt: skip
def test_a_bar_that_nothing_could_fail_or_pass_is_refused(bar: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match=f"of {METRIC} must be .*below 1"):
        judged(*pair(50), **bar)


def test_a_result_held_against_itself_is_told() -> None:
    candidate, baseline = pair(800)
    assert not judged(candidate, baseline).notes
    (note,) = judged(candidate, replace(candidate, system="old")).notes
    assert "one result under two names" in note


def test_margins_need_the_same_negatives() -> None:
    candidate, baseline = (
        replace(one, values={"margin_score": one.values[METRIC]}, negatives=name)
        for one, name in zip(pair(50), ("a", "b"), strict=True)
    )
    with pytest.raises(DataMismatch, match="pinned negatives"):
        judged(candidate, baseline, changes=(Change(metric="margin_score"),))
