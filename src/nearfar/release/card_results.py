"""What a card says of how good a model is, how sure that is, and what nobody has measured."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Literal

from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import SHORT_NAMES, Measure, span
from nearfar.evaluation.report import Report
from nearfar.model.space import EmbeddingSpace
from nearfar.release.admission import measured_side
from nearfar.release.markdown import code, plain, table
from nearfar.release.policy import named
from nearfar.release.verdict import Finding, Verdict

Side = Literal["base", "tuned"]

KEY = "ndcg_at_10_score"
_MOST_ROWS = 100
ELSEWHERE = (
    "- Nothing is known of other data than this test set, of other languages, and of traffic that "
    "came after it."
)
_FEW = 50  # queries of a cohort, below which an interval says little


def measured_on(report: Report | None, verdict: Verdict) -> str:
    """Say on what was measured, and what intervals are."""
    among = f", among {report.documents:,} documents" if report else ""
    return (
        f"Measured on {verdict.queries:,} queries of the {plain(verdict.split)} split of the "
        f"dataset {code(verdict.dataset)}{among}. Intervals hold the truth 95 times of 100; "
        "queries that hang together count as one."
    )


def results(report: Report | None, verdict: Verdict) -> Iterator[str]:
    """Yield all measures with their 95 % intervals, and the key one by cohort."""
    yield measured_on(report, verdict)
    yield ""
    if report is None:
        yield "There was no report: means are those of the verdict below, without intervals."
        return
    side = measured_side(report, verdict)
    compared = side == "tuned"
    heads = ["measure", ">queries", ">this model"]
    heads += [">its base", ">change"] if compared else []
    yield from table(heads, (
        [plain(SHORT_NAMES.get(one.name, one.name)), *_cells(one, side)]
        for one in report.measures
    ))  # fmt: skip
    if not (cohorts := [one for one in report.cohorts if one.name == KEY]):
        return
    yield ""
    yield f"{SHORT_NAMES[KEY]} by cohort:"
    yield ""
    yield from table(["cohort", *heads[1:]], (
        [plain(named(one.field, one.value)), *_cells(one, side)] for one in cohorts[:_MOST_ROWS]
    ))  # fmt: skip
    if (more := len(cohorts) - _MOST_ROWS) > 0:
        yield ""
        yield f"{more:,} more cohorts stand in `report.json`."


def verdict_words(verdict: Verdict) -> Iterator[str]:
    """Yield what the gate said, rule by rule, waivers with their reasons."""
    against = plain(PurePath(verdict.baseline.system).name) if verdict.baseline else "nothing"
    yield f"Held against {against}, by the policy {code(verdict.policy_digest)}."
    yield ""
    for sentence in verdict.sentences():
        yield f"- {plain(sentence)}"
    yield ""
    shown = sorted(verdict.findings, key=lambda one: one.outcome == "PASS")
    heads = ("rule", "cohort", ">queries", ">baseline", ">candidate", ">change", ">surely above",
             ">must be above", "outcome")  # fmt: skip
    yield from table(heads, map(_finding, shown[:_MOST_ROWS]))
    if (more := len(shown) - _MOST_ROWS) > 0:
        yield ""
        yield f"{more:,} more findings stand in `verdict.json`."


def limits(report: Report | None, verdict: Verdict, space: EmbeddingSpace) -> Iterator[str]:
    """Yield what the numbers above do not say."""
    yield ELSEWHERE
    yield f"- What stands behind the first {space.max_tokens} tokens of a text is not read."
    yield from verdict_limits(verdict)
    if report is None:
        yield "- There was no report: no interval of the means, and no cohort the policy left out."
        return
    yield from report_limits(report)
    small = [one for one in report.cohorts if one.name == KEY and _of(one).n < _FEW]
    if small:
        names = ", ".join(plain(f"{named(one.field, one.value)} ({_of(one).n})")
                          for one in small[:_MOST_ROWS])  # fmt: skip
        yield f"- Cohorts of fewer than {_FEW} queries, of which little is sure: {names}."


def report_limits(report: Report) -> Iterator[str]:
    """Yield what a report did not measure, of an encoder or a reranker."""
    if report.without_answer:
        yield (
            f"- {report.without_answer:,} judged queries without an answer have no score, and "
            "are not in the means."
        )


def verdict_limits(verdict: Verdict) -> Iterator[str]:
    """Yield what a verdict leaves open, of an encoder or a reranker."""
    if verdict.baseline is None:
        yield "- There was no baseline: nobody knows whether it is better than what was in use."
    unsure = [one for one in verdict.findings if one.outcome == "INSUFFICIENT"]
    for one in unsure[:_MOST_ROWS]:
        yield f"- The evidence was not enough: {plain(one.sentence)}"
    taken = [one for one in verdict.findings if one.waived and one.outcome == "REGRESSION"]
    for one in taken[:_MOST_ROWS]:
        yield f"- It lost, and somebody has taken that on their head: {plain(one.sentence)}"
    if verdict.runs > 1:
        yield (
            f"- {verdict.runs:,} candidates have been held against this test set: the best of "
            "several looks better than it is."
        )


def _cells(one: Measure, side: Side) -> list[str]:
    found = one.tuned if side == "tuned" else one.base
    cells = ["" if found is None else f"{found.n:,}", span(found)]
    return cells + ([span(one.base), span(one.difference, sign=True)] if side == "tuned" else [])


def _of(one: Measure) -> Estimate:
    return one.tuned or one.base


def _finding(one: Finding) -> list[str]:
    return [
        plain(SHORT_NAMES.get(one.rule, one.rule)),
        plain(one.cohort),
        "" if one.queries is None else f"{one.queries:,}",
        *("" if number is None else f"{number:.3f}" for number in (one.baseline, one.candidate)),
        *("" if number is None else f"{number:+.3f}"
          for number in (one.difference, one.low, one.bar)),
        one.outcome + (" (waived)" if one.waived else ""),
    ]  # fmt: skip
