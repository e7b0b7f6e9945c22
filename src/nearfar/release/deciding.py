"""The gate: may this candidate be released, as a policy has it?

Per cohort and metric, in this order:

    REGRESSION     a paired test is significant after Holm, over all rules and cohorts, and the
                   mean loss is at least the smallest that matters
    PASS           the lower bound of candidate less baseline lies above -margin
    INSUFFICIENT   neither: the sentence says how many queries a clear answer needs

Shapes: N queries, R rules on cohorts.
"""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from nearfar.errors import DataMismatch
from nearfar.evaluation.holm import adjusted
from nearfar.evaluation.intervals import lower_bound, p_below
from nearfar.evaluation.measure import SHORT_NAMES, down_is_good, likely_span
from nearfar.evaluation.scores import Scores
from nearfar.evaluation.sign_flips import sign_flip_p
from nearfar.fingerprint import fingerprint
from nearfar.release.integrity import (
    alike,
    require_comparable,
    require_numbers,
    require_possible,
)
from nearfar.release.policy import ALL, Change, Floor, Policy, named
from nearfar.release.sentences import told
from nearfar.release.simple_rules import JUDGED, costs, judged_enough, sentinels
from nearfar.release.sizes import queries_needed
from nearfar.release.verdict import Finding, Kind, Outcome, Side, Verdict, waived
from nearfar.release.waiving import words_for

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A rule on a cohort, and what it is decided by."""

    rule: Change | Floor
    cohort: str
    rows: Rows
    values: Floats  # (n,) so turned that up is good: differences, or the candidate's own values
    span: tuple[float, float]


def decide(
    policy: Policy,
    candidate: Scores,
    baseline: Scores | None,
    *,
    today: dt.date,
    runs: int = 1,
    at: str = "",
) -> Verdict:
    """Hold a candidate against a baseline, or against the policy's floors alone.

    Args:
        policy: the bar.
        candidate: what may be released.
        baseline: what is in use, measured on the same queries; None where nothing is yet.
        today: waivers that ended before do not count.
        runs: of candidates through the gate on this test set, this one too.
        at: when, for the record.

    Raises:
        BadSetting: a bar is none: nothing could fail it, or nothing pass.
        DataMismatch: the two do not measure the same thing, or not in numbers.
    """
    require_possible(policy)
    floors, changes = ([rule.metric for rule in rules] for rules in (policy.floors, policy.changes))
    require_numbers(candidate, [*floors, *changes])
    if baseline is not None:
        shown = {*floors, JUDGED} & set(baseline.values)
        require_numbers(candidate, {JUDGED} & set(candidate.values))
        require_numbers(baseline, [*changes, *sorted(shown)])
        require_comparable(candidate, baseline, policy)
        baseline = _in_order(baseline, candidate.queries)
    cells, few, small = _cells(policy, candidate, baseline)
    asked = {ALL: np.arange(len(candidate.queries))} | {one.cohort: one.rows for one in cells}
    findings = [
        *_judged(cells, policy, candidate, baseline),
        *few,
        *costs(policy, candidate, baseline),
        *sentinels(policy, candidate),
        *judged_enough(policy, candidate, baseline, asked),
    ]
    words, notes = words_for(policy.waivers, findings, today)
    notes += [*small, *alike(candidate, baseline), *_worn(policy, runs), *_alone(policy, baseline)]
    facts = json.loads(json.dumps(asdict(policy), default=str))  # days become text
    return Verdict(
        candidate=side_of(candidate),
        baseline=None if baseline is None else side_of(baseline),
        dataset=candidate.dataset,
        split=candidate.split,
        queries=len(candidate.queries),
        negatives=candidate.negatives,
        policy=facts,
        policy_digest=fingerprint(facts),
        findings=waived(findings, words),
        notes=tuple(notes),
        runs=runs,
        at=at,
    )


def side_of(scores: Scores) -> Side:
    """Return what a verdict says of a result, with the fingerprint of all its values."""
    facts = {name: sha256(values.tobytes()).hexdigest() for name, values in scores.values.items()}
    found = fingerprint({"dataset": scores.dataset, "split": scores.split, "values": facts,
                         "queries": list(scores.queries)})  # fmt: skip
    return Side(system=scores.system, space=scores.space, scores=found)


def cohort_rows(scores: Scores, fields: Sequence[str] | None) -> Iterator[tuple[str, Rows]]:
    """Yield every cohort of some fields with its queries; all of them first.

    Raises:
        DataMismatch: a field is none of the scores.
    """
    yield ALL, np.arange(len(scores.queries))
    for field in scores.cohorts if fields is None else fields:
        values = np.array(scores.cohorts[field])
        for value in np.unique(values):
            yield named(field, value), np.flatnonzero(values == value)


def _cells(
    policy: Policy, candidate: Scores, baseline: Scores | None
) -> tuple[list[_Cell], list[Finding], list[str]]:
    """Return what statistics can decide, and what is too small for them.

    Of all queries that is missing evidence, and a finding; of a cohort it is a sentence.
    """
    cells: list[_Cell] = []
    small: dict[str, int] = {}
    rules: list[Change | Floor] = [*policy.floors]
    if baseline is not None:
        rules = [*policy.changes, *rules]
    for rule in rules:
        _require_fields(candidate, rule.cohorts)
        values, span = _values(rule, candidate, baseline)
        for cohort, rows in cohort_rows(candidate, rule.cohorts):
            groups = {candidate.clusters[row] for row in rows}
            if len(rows) < policy.fewest or len(groups) < 2:
                small[cohort] = len(rows)
            else:
                cells.append(_Cell(rule, cohort, rows, values[rows], span))
    guarded = {one.query for one in policy.sentinels}
    for cohort, rows in cohort_rows(candidate, None):
        if cohort in small and guarded & {candidate.queries[row] for row in rows}:
            del small[cohort]  # sentinels decide there
    few = [_too_few(rule, small[ALL]) for rule in rules if ALL in small]
    small.pop(ALL, None)
    sentences = [
        f"{cohort}: {count} queries in too few groups for statistics; pin sentinel queries there, "
        "or label more (`nearfar plan`)."
        for cohort, count in small.items()
    ]
    return cells, few, sentences


def _too_few(rule: Change | Floor, queries: int) -> Finding:
    name = SHORT_NAMES.get(rule.metric, rule.metric)
    return Finding(
        kind=_kind(rule), rule=rule.metric, cohort=ALL, outcome="INSUFFICIENT", queries=queries,
        sentence=f"{name} over {ALL}: {queries} queries in too few groups for statistics; pin "
        "sentinel queries, or label more (`nearfar plan`).",
    )  # fmt: skip


def _kind(rule: Change | Floor) -> Kind:
    return "change" if isinstance(rule, Change) else "floor"


def _values(
    rule: Change | Floor, candidate: Scores, baseline: Scores | None
) -> tuple[Floats, tuple[float, float]]:
    """Return what a rule looks at, query by query, up is good, and what it can be."""
    both = [candidate] if isinstance(rule, Floor) or baseline is None else [candidate, baseline]
    seen = [scores.values[rule.metric] for scores in both]
    least, most = likely_span(rule.metric, *seen)
    sign = -1.0 if down_is_good(rule.metric) else 1.0
    if len(seen) == 1:
        return sign * seen[0], (least, most) if sign > 0 else (-most, -least)
    return sign * (seen[0] - seen[1]), (least - most, most - least)


def _judged(
    cells: Sequence[_Cell], policy: Policy, candidate: Scores, baseline: Scores | None
) -> Iterator[Finding]:
    clusters = np.unique(np.array(candidate.clusters), return_inverse=True)[1]
    chances = adjusted(_chances(cells, policy, clusters))
    for cell, p in zip(cells, chances, strict=True):
        yield _finding(cell, p, policy, clusters[cell.rows], candidate, baseline)


def _chances(cells: Sequence[_Cell], policy: Policy, clusters: Rows) -> Floats:
    """Return of each cell how often chance alone would look as bad, before any correction."""
    found = np.ones(len(cells))
    changes = [i for i, cell in enumerate(cells) if isinstance(cell.rule, Change)]
    if changes:
        table = np.zeros((len(clusters), len(changes)))
        for column, i in enumerate(changes):
            table[cells[i].rows, column] = cells[i].values
        found[changes] = sign_flip_p(table, clusters, resamples=policy.resamples, seed=policy.seed)
    for i, cell in enumerate(cells):
        if isinstance(cell.rule, Floor):
            at, most = _bar(cell), cell.span[1]
            found[i] = p_below(cell.values, clusters[cell.rows], at=at, most=most)
    return found


def _bar(cell: _Cell) -> float:
    """Return what a lower bound must lie above."""
    rule = cell.rule
    return -rule.margin if isinstance(rule, Change) else rule.at_least


def _finding(
    cell: _Cell, p: float, policy: Policy, clusters: Rows, candidate: Scores,
    baseline: Scores | None,
) -> Finding:  # fmt: skip
    rule, bar = cell.rule, _bar(cell)
    mean = float(cell.values.mean())
    low = min(
        lower_bound(cell.values, clusters, least=cell.span[0], confidence=policy.confidence), mean
    )
    change = isinstance(rule, Change)
    lost = -mean >= rule.minimum_effect if isinstance(rule, Change) else mean < bar
    outcome: Outcome = "INSUFFICIENT"
    if p <= policy.alpha and lost:
        outcome = "REGRESSION"
    elif low > bar:
        outcome = "PASS"
    needed = None
    if outcome == "INSUFFICIENT":
        gap = rule.margin if isinstance(rule, Change) else max(abs(mean - bar), 1e-3)
        needed = queries_needed(cell.values, clusters, gap, policy)
    before = None if baseline is None else baseline.values.get(rule.metric)  # a floor needs none
    found = Finding(
        kind=_kind(rule),
        rule=rule.metric,
        cohort=cell.cohort,
        outcome=outcome,
        sentence="",
        baseline=None if before is None else float(before[cell.rows].mean()),
        candidate=float(candidate.values[rule.metric][cell.rows].mean()),
        difference=mean if change else None,
        low=low,
        bar=bar,
        p=p,
        queries=len(cell.rows),
        clusters=len(np.unique(clusters)),
        needed=needed,
    )
    return replace(found, sentence=told(found))


def _require_fields(scores: Scores, fields: Sequence[str] | None) -> None:
    if unknown := sorted(set(fields or ()) - set(scores.cohorts)):
        known = ", ".join(scores.cohorts) or "none"
        raise DataMismatch(
            f"{scores.system}: expected cohorts by {', '.join(unknown)}, as the policy names "
            f"them; found {known}. Measure with evaluation.cohorts, or change the policy."
        )


def _in_order(scores: Scores, queries: Sequence[str]) -> Scores:
    """Return what decides about a baseline, in the order of the candidate's queries."""
    at = {query: row for row, query in enumerate(scores.queries)}
    rows = np.array([at[query] for query in queries])
    values = {name: found[rows] for name, found in scores.values.items()}
    hits = tuple(scores.hits[row] for row in rows) if scores.hits else ()
    return replace(scores, queries=tuple(queries), values=values, hits=hits)


def _worn(policy: Policy, runs: int) -> Iterator[str]:
    if runs > policy.most_runs:
        yield (
            f"{runs} candidates have been through the gate on this test set: the best of so many "
            "looks better than it is. Label fresh queries (`nearfar plan`)."
        )


def _alone(policy: Policy, baseline: Scores | None) -> Iterator[str]:
    if baseline is None and policy.changes:
        yield "There is no baseline: nothing was held against what is in use."
