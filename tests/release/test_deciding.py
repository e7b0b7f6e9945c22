"""The gate decides as its policy has it, and refuses what cannot be compared."""

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from results import METRIC, pair, result

from nearfar.errors import BadSetting, DataMismatch
from nearfar.evaluation.scores import Scores
from nearfar.release.deciding import decide
from nearfar.release.policy import ALL, Change, Cost, Floor, Policy, Sentinel, Waiver
from nearfar.release.simple_rules import JUDGED
from nearfar.release.verdict import Verdict

TODAY = dt.date(2026, 11, 21)


def judged(candidate: Scores, baseline: Scores | None, **policy: Any) -> Verdict:
    return decide(Policy(**policy), candidate, baseline, today=TODAY)


def test_what_lost_nothing_passes_with_enough_queries() -> None:
    verdict = judged(*pair(800))
    assert (verdict.outcome, verdict.action, verdict.exit_code) == ("PASS", "release", 0)
    (found,) = verdict.findings
    assert found.low is not None
    assert -0.02 < found.low < found.difference  # type: ignore[operator]
    assert found.cohort == ALL


def test_what_lost_is_blocked_and_named() -> None:
    verdict = judged(*pair(400, 0.06))
    assert (verdict.outcome, verdict.action, verdict.exit_code) == ("REGRESSION", "block", 3)
    assert "nDCG@10 over all queries changes by -0.0" in verdict.sentences()[1]
    assert "(400 queries); that is a loss" in verdict.sentences()[1]


def test_few_queries_are_insufficient_and_say_how_many_are_needed() -> None:
    verdict = judged(*pair(40))
    assert (verdict.outcome, verdict.action, verdict.exit_code) == ("INSUFFICIENT", "hold", 4)
    (found,) = verdict.findings
    deviation = 0.15  # as `pair` makes it
    assert found.needed == pytest.approx((2.487 * deviation / 0.02) ** 2, rel=0.5)
    assert f"about {found.needed:,} queries" in found.sentence
    assert judged(*pair(40), insufficient="canary").action == "canary"


def test_a_loss_that_does_not_matter_never_blocks() -> None:
    candidate, baseline = pair(3000, 0.005, noise=0.01)
    assert judged(candidate, baseline).outcome == "PASS"
    strict = Change(metric=METRIC, minimum_effect=0.004)
    assert judged(candidate, baseline, changes=(strict,)).outcome == "REGRESSION"


def test_a_cohort_that_lost_is_found_though_the_rest_gained() -> None:
    candidate, baseline = pair(1200)
    language = ["de"] * 200 + ["en"] * 1000
    values = candidate.values[METRIC].copy()
    values[:200] -= 0.1
    values[200:] += 0.05
    cohorts = {"query.language": tuple(language)}
    candidate = replace(candidate, values={METRIC: values}, cohorts=cohorts)
    verdict = judged(candidate, replace(baseline, cohorts=cohorts))
    outcomes = {found.cohort: found.outcome for found in verdict.findings}
    assert outcomes == {ALL: "PASS", "query.language = de": "REGRESSION",
                        "query.language = en": "PASS"}  # fmt: skip
    assert verdict.outcome == "REGRESSION"


def test_more_rules_do_not_block_more_often() -> None:
    """Nothing changed, ten cohorts: uncorrected tests would block four runs in ten."""
    blocked = []
    for seed in range(60):
        cohorts = {"query.part": tuple(f"{i % 10}" for i in range(400))}
        dice = np.random.default_rng(seed)
        was = dice.uniform(0.3, 0.7, 400)
        now = was + dice.normal(0, 0.15, 400).clip(-0.3, 0.3)
        verdict = judged(result(now, cohorts=cohorts), result(was, cohorts=cohorts),
                         resamples=1_000)  # fmt: skip
        blocked.append(verdict.outcome == "REGRESSION")
    assert np.mean(blocked) <= 0.1


def test_the_order_of_queries_does_not_matter() -> None:
    candidate, baseline = pair(100, 0.03)
    turned = replace(
        baseline, queries=baseline.queries[::-1], clusters=baseline.clusters[::-1],
        values={METRIC: baseline.values[METRIC][::-1]}, hits=baseline.hits[::-1],
    )  # fmt: skip
    assert judged(candidate, turned).findings == judged(candidate, baseline).findings


def test_of_a_loss_less_is_better() -> None:
    name = "alignment_loss"
    old, new = (replace(one, values={name: np.full(400, value)})
                for one, value in zip(pair(400), (0.5, 0.8), strict=True))  # fmt: skip
    rule = Change(metric=name, margin=0.1)
    assert judged(new, old, changes=(rule,)).outcome == "REGRESSION"
    assert judged(old, new, changes=(rule,)).outcome == "PASS"


def test_clusters_decide_together() -> None:
    candidate, baseline = pair(400, 0.03, noise=0.05)
    assert judged(candidate, baseline).outcome == "REGRESSION"
    few = tuple(f"c{i % 3}" for i in range(400))
    alike = [replace(one, clusters=few) for one in (candidate, baseline)]
    assert judged(*alike).outcome == "INSUFFICIENT"


@pytest.mark.parametrize(
    ("at_least", "outcome"), [(0.2, "PASS"), (0.6, "REGRESSION"), (0.5, "INSUFFICIENT")]
)
def test_a_floor_is_held_without_a_baseline(at_least: float, outcome: str) -> None:
    verdict = judged(pair(300)[0], None, floors=(Floor(metric=METRIC, at_least=at_least),))
    assert verdict.outcome == outcome
    assert "There is no baseline" in verdict.notes[0]


def test_a_floor_asks_nothing_of_the_baseline() -> None:
    candidate, baseline = pair(800)
    values = dict(candidate.values) | {"hit_at_10_score": np.ones(800)}
    floors = (Floor(metric="hit_at_10_score", at_least=0.5),)
    verdict = judged(replace(candidate, values=values), baseline, floors=floors)
    assert verdict.outcome == "PASS"
    assert [one.baseline for one in verdict.findings if one.kind == "floor"] == [None]
    broken = replace(baseline, values=values | {"hit_at_10_score": np.full(800, math.nan)})
    with pytest.raises(DataMismatch, match="old: expected hit_at_10_score"):
        judged(replace(candidate, values=values), broken, floors=floors)


def test_costs_are_bounds() -> None:
    candidate, baseline = pair(800, costs={"p95_seconds": 0.10})
    slower = replace(candidate, costs={"p95_seconds": 0.15})
    rule = Cost(name="p95_seconds", at_most=0.2, times_baseline=1.2)
    assert judged(candidate, baseline, costs=(rule,)).outcome == "PASS"
    verdict = judged(slower, baseline, costs=(rule,))
    assert verdict.outcome == "REGRESSION"
    assert "above 0.12 (1.2 times the baseline's)" in verdict.sentences()[1]
    unmeasured = judged(replace(candidate, costs={}), baseline, costs=(rule,))
    assert unmeasured.outcome == "INSUFFICIENT"
    assert "of the candidate was not measured" in unmeasured.sentences()[1]
    for bad in (math.nan, math.inf, "fast"):
        for sides in ((replace(candidate, costs={"p95_seconds": bad}), baseline),
                      (candidate, replace(baseline, costs={"p95_seconds": bad}))):  # fmt: skip
            with pytest.raises(DataMismatch, match="p95_seconds to be a number"):
                judged(*sides, costs=(rule,))


@pytest.mark.parametrize(
    ("document", "within", "outcome"),
    [("x", 1, "PASS"), ("y", 2, "PASS"), ("y", 1, "REGRESSION"), ("z", 10, "REGRESSION")],
)
def test_a_sentinel_must_be_found(document: str, within: int, outcome: str) -> None:
    one = Sentinel(query="q3", document=document, within=within)
    assert judged(*pair(800), sentinels=(one,)).outcome == outcome


def test_a_small_cohort_is_told_unless_a_sentinel_guards_it() -> None:
    cohorts = {"query.part": ("rare",) * 9 + ("often",) * 791}
    candidate, baseline = pair(800, cohorts=cohorts)
    verdict = judged(candidate, baseline)
    assert [found.cohort for found in verdict.findings] == [ALL, "query.part = often"]
    assert any("query.part = rare: 9 queries" in note for note in verdict.notes)
    guarded = judged(candidate, baseline, sentinels=(Sentinel(query="q3", document="x"),))
    assert not guarded.notes


def test_unjudged_hits_hold_the_candidate() -> None:
    candidate, baseline = (
        replace(one, values=dict(one.values) | {JUDGED: np.full(800, share)})
        for one, share in zip(pair(800), (0.2, 0.5), strict=True)
    )
    verdict = judged(candidate, baseline)
    assert verdict.outcome == "INSUFFICIENT"
    assert "nearfar label" in verdict.sentences()[1]
    assert judged(candidate, baseline, judged_drop=0.4).outcome == "PASS"
    values = dict(candidate.values) | {JUDGED: np.full(800, math.nan)}
    with pytest.raises(DataMismatch, match="expected judged_at_10_score"):
        judged(replace(candidate, values=values), baseline)


def test_unjudged_hits_of_one_cohort_hold_the_candidate() -> None:
    candidate, baseline = pair(2000, cohorts={"query.language": ["de"] * 500 + ["en"] * 1500})
    share = np.full(2000, 0.9)
    share[:500] = 0.6  # 0.075 less in the mean, which alone would pass
    candidate = replace(candidate, values=dict(candidate.values) | {JUDGED: share})
    baseline = replace(baseline, values=dict(baseline.values) | {JUDGED: np.full(2000, 0.9)})
    whole = Change(metric=METRIC, margin=0.1, cohorts=())
    assert judged(candidate, baseline, changes=(whole,)).outcome == "PASS"
    verdict = judged(candidate, baseline, changes=(replace(whole, cohorts=("query.language",)),))
    assert verdict.outcome == "INSUFFICIENT"
    (found,) = (one for one in verdict.findings if one.kind == "judged")
    assert (found.cohort, found.queries) == ("query.language = de", 500)
    assert found.sentence.startswith("Over query.language = de, 60.0 % of the candidate's first 10")


def test_a_waiver_counts_until_it_ends() -> None:
    def waived(until: str, cohort: str = ALL) -> Verdict:
        waiver = Waiver(metric=METRIC, cohort=cohort, reason="a new catalogue", by="kim",
                        until=dt.date.fromisoformat(until))  # fmt: skip
        return judged(*pair(400, 0.06), waivers=(waiver,))

    assert waived("2026-11-21").outcome == "PASS"
    assert "(kim, until 2026-11-21: a new catalogue)" in waived("2026-11-21").sentences()[1]
    ended = waived("2026-11-20")
    assert ended.outcome == "REGRESSION"
    assert "ended on 2026-11-20" in ended.sentences()[-1]
    other = waived("2026-12-31", "query.language = de")
    assert other.outcome == "REGRESSION"
    assert "fits no rule" in other.sentences()[-1]


def test_a_waiver_names_one_rule_and_no_kind_of_rules() -> None:
    def waived(metric: str) -> Verdict:
        waiver = Waiver(metric=metric, reason="r", by="kim", until=TODAY)
        lost = Sentinel(query="q3", document="z")
        return judged(*pair(400, 0.06), waivers=(waiver,), sentinels=(lost,))

    def kinds(verdict: Verdict) -> list[str]:
        return [found.kind for found in verdict.findings if found.waived]

    assert kinds(waived("sentinels")) == ["sentinel"]
    assert kinds(waived(METRIC)) == ["change"]
    assert kinds(waived("changes")) == []


def test_where_nothing_can_be_judged_nothing_passes() -> None:
    assert judged(pair(800)[0], None).outcome == "INSUFFICIENT"
    few = judged(*pair(12))
    assert few.outcome == "INSUFFICIENT"
    assert "12 queries" in few.sentences()[-1]
    with pytest.raises(DataMismatch, match="found none"):
        judged(result([]), result([]))


def test_what_is_cheap_and_too_small_to_judge_does_not_pass() -> None:
    candidate, baseline = pair(12, costs={"p95_seconds": 0.1})
    rules = {"costs": (Cost(name="p95_seconds", at_most=0.2),)}
    verdict = judged(candidate, baseline, **rules)
    assert verdict.outcome == "INSUFFICIENT"
    assert "nDCG@10 over all queries: 12 queries in too few groups" in verdict.sentences()[1]
    assert judged(candidate, None, changes=(), floors=(Floor(metric=METRIC, at_least=0.1),),
                  **rules).outcome == "INSUFFICIENT"  # fmt: skip
    guarded = judged(candidate, baseline, sentinels=(Sentinel(query="q3", document="x"),), **rules)
    assert guarded.outcome == "PASS"


def test_a_worn_test_set_is_told() -> None:
    verdict = decide(Policy(most_runs=3), *pair(800), today=TODAY, runs=4)
    assert "4 candidates have been through the gate" in verdict.notes[0]


def test_a_field_that_nobody_measured_is_refused() -> None:
    with pytest.raises(DataMismatch, match=r"cohorts by query\.langage"):
        judged(*pair(50), changes=(Change(metric=METRIC, cohorts=("query.langage",)),))


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha": 0.0}, {"alpha": math.nan}, {"confidence": 0.4}, {"fewest": 5},
        {"changes": ()}, {"changes": (Change(metric="a"), Change(metric="a"))},
        {"insufficient": "wait"},
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        Policy(**bad)
    for build in (lambda: Change(metric="a", margin=0), lambda: Cost(name="p95_seconds"),
                  lambda: Floor(metric="alignment_loss", at_least=1),
                  lambda: Sentinel(query="q", document="d", within=11)):  # fmt: skip
        with pytest.raises(BadSetting):
            build()
