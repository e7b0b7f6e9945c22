"""The rules that need no statistics: what a system costs, what must be found, what is judged."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from nearfar.errors import DataMismatch
from nearfar.evaluation.scores import Scores
from nearfar.release.policy import ALL, Policy
from nearfar.release.verdict import Finding, Outcome

Rows = npt.NDArray[np.int64]

JUDGED = "judged_at_10_score"


def costs(policy: Policy, candidate: Scores, baseline: Scores | None) -> Iterator[Finding]:
    """Yield a finding for each bound on a cost; what was not measured is insufficient.

    Raises:
        DataMismatch: a cost is no number.
    """
    for rule in policy.costs:
        found = _cost(candidate, rule.name)
        was = None if baseline is None else _cost(baseline, rule.name)
        bounds = [("the policy allows", rule.at_most)]
        if rule.times_baseline is not None and baseline is not None:
            times = f"{rule.times_baseline:g} times the baseline's"
            bounds.append((times, None if was is None else rule.times_baseline * was))
        for what, most in bounds:
            if most is None and what == "the policy allows":
                continue
            outcome: Outcome = "INSUFFICIENT"
            whom = "the candidate" if found is None else "the baseline"
            sentence = f"{rule.name} of {whom} was not measured; `nearfar compare` measures it."
            if found is not None and most is not None:
                outcome = "PASS" if found <= most else "REGRESSION"
                verb = "within" if found <= most else "above"
                sentence = f"{rule.name} is {found:.4g}, {verb} {most:.4g} ({what})."
            yield Finding(
                kind="cost", rule=rule.name, cohort=ALL, outcome=outcome, sentence=sentence,
                baseline=was, candidate=found, bar=most,
            )  # fmt: skip


def _cost(scores: Scores, name: str) -> float | None:
    found = scores.costs.get(name)
    number = isinstance(found, int | float) and math.isfinite(found)
    if found is not None and not number:
        raise DataMismatch(
            f"{scores.system}: expected {name} to be a number, found {found!r}. Measure it again."
        )
    return found


def sentinels(policy: Policy, candidate: Scores) -> Iterator[Finding]:
    """Yield a finding for each document that a query must find.

    Raises:
        DataMismatch: a sentinel's query was not measured, or hits were not kept.
    """
    row_of = {query: row for row, query in enumerate(candidate.queries)}
    for one in policy.sentinels:
        if one.query not in row_of or not candidate.hits:
            raise DataMismatch(
                f"Expected the hits of sentinel query {one.query!r}, found none in the results of "
                f"{candidate.system}. Put it into the test split, or take it out of the policy."
            )
        hits = candidate.hits[row_of[one.query]]
        place = hits.index(one.document) + 1 if one.document in hits else None
        holds = place is not None and place <= one.within
        where = f"at place {place}" if place else f"not among the first {len(hits)}"
        yield Finding(
            kind="sentinel",
            rule=f"{one.query} finds {one.document}",
            cohort=ALL,
            outcome="PASS" if holds else "REGRESSION",
            sentence=f"Sentinel: query {one.query!r} must find {one.document!r} within "
            f"{one.within}; it stands {where}.",
            candidate=None if place is None else float(place),
            bar=float(one.within),
        )


def judged_enough(
    policy: Policy,
    candidate: Scores,
    baseline: Scores | None,
    cohorts: Mapping[str, Rows],
) -> Iterator[Finding]:
    """Yield a finding where the candidate finds much that nobody has judged: it counts as wrong.

    Args:
        policy: how far Judged@10 may lie below the baseline's.
        candidate: whose hits may not be judged.
        baseline: of the same queries, in whatever order; None: nothing is compared.
        cohorts: the rows of the queries of each that is looked at.
    """
    if baseline is None or not (JUDGED in candidate.values and JUDGED in baseline.values):
        return
    row_of = {query: row for row, query in enumerate(baseline.queries)}
    for cohort, rows in cohorts.items():
        same = [row_of[candidate.queries[row]] for row in rows]
        found = float(candidate.values[JUDGED][rows].mean())
        was = float(baseline.values[JUDGED][same].mean())
        if was - found <= policy.judged_drop:
            continue
        yield Finding(
            kind="judged", rule=JUDGED, cohort=cohort, outcome="INSUFFICIENT", baseline=was,
            candidate=found, difference=found - was, bar=-policy.judged_drop, queries=len(rows),
            sentence=f"Over {cohort}, {100 * found:.1f} % of the candidate's first 10 documents "
            f"are judged, and {100 * was:.1f} % of the baseline's: what nobody judged counts as "
            "wrong, so the comparison leans. Draw these pairs with `nearfar plan --candidate ... "
            "--baseline ... --queue FILE`, and mark them with `nearfar label`.",
        )  # fmt: skip
