"""Before anything is compared: do both results measure the same thing, in numbers?"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nearfar.errors import DataMismatch, require
from nearfar.evaluation.measure import span_of
from nearfar.evaluation.scores import Scores
from nearfar.release.policy import Policy

SHOWN = 3  # ids in a message

_ROUNDING = 1e-6


def require_comparable(candidate: Scores, baseline: Scores, policy: Policy) -> None:
    """Refuse two results that do not measure the same thing.

    Raises:
        DataMismatch: other data, another split, another number of documents, other queries,
            other clusters or cohorts, other pinned negatives under a margin.
    """
    for what, ours, theirs, advice in (
        ("digest of the dataset", candidate.dataset, baseline.dataset, ""),
        ("split", candidate.split, baseline.split, ""),
        ("number of documents", candidate.documents, baseline.documents, ""),
    ):
        if ours != theirs:
            raise DataMismatch(
                f"Expected one {what} behind both results, found {ours!r} for the candidate "
                f"({candidate.system}) and {theirs!r} for the baseline ({baseline.system}). "
                f"Measure both with `nearfar evaluate` on the same dataset.{advice}"
            )
    _require_queries(candidate, baseline)
    if _reads_margin(policy) and candidate.negatives != baseline.negatives:
        raise DataMismatch(
            "Expected margins on the same pinned negatives, found "
            f"{candidate.negatives or 'none'} for the candidate and "
            f"{baseline.negatives or 'none'} for the baseline. Measure both with the same "
            "evaluation.seed."
        )


def require_numbers(scores: Scores, metrics: Iterable[str]) -> None:
    """Refuse a result that lacks a metric, or where it is not a number in its range.

    Raises:
        DataMismatch: names the metric and the query.
    """
    if not scores.queries:
        raise DataMismatch(f"{scores.system}: expected measured queries, found none. Measure some.")
    if twice := len(scores.queries) - len(set(scores.queries)):
        raise DataMismatch(f"{scores.system}: expected each query once, found {twice} repeated.")
    for metric in metrics:
        if metric not in scores.values:
            raise DataMismatch(
                f"{scores.system}: expected {metric} of each query, found "
                f"{', '.join(scores.values) or 'no metric'}. Measure it, or change the policy."
            )
        values, (least, most) = scores.values[metric], span_of(metric)
        # Written so that NaN is refused too.
        sound = (values >= least - _ROUNDING) & (values <= most + _ROUNDING)
        if len(values) != len(scores.queries) or not sound.all():
            bad = np.flatnonzero(~sound)[:SHOWN]
            named = ", ".join(f"{values[i]} for query {scores.queries[i]!r}" for i in bad)
            raise DataMismatch(
                f"{scores.system}: expected {metric} from {least:g} to {most:g} for each of "
                f"{len(scores.queries)} queries, found {named or len(values)}. Measure it again; "
                "a query that found nothing counts 0."
            )


def require_possible(policy: Policy) -> None:
    """Refuse a bar that nothing could fail, or nothing pass, such as a margin of 2 for 2 %.

    Raises:
        BadSetting: names the metric, and what it can be.
    """
    for change in policy.changes:
        least, most = span_of(change.metric)
        require(change.margin < most - least, f"changes.margin of {change.metric}",
                f"below {most - least:g}, all that can be lost", change.margin)  # fmt: skip
    for floor in policy.floors:
        least, most = span_of(floor.metric)
        require(least < floor.at_least < most, f"floors.at_least of {floor.metric}",
                f"above {least:g} and below {most:g}", floor.at_least)  # fmt: skip


def require_space(candidate: Scores, space: str | None) -> None:
    """Refuse a result that was not measured in the space that is to be released.

    Raises:
        DataMismatch: names both.
    """
    found: Mapping[str, Any] = candidate.space or {}
    if space is not None and found.get("fingerprint") != space:
        raise DataMismatch(
            f"Expected results of the space {space}, found those of "
            f"{found.get('fingerprint', 'no space')} ({candidate.system}). Measure the model that "
            "is to be released."
        )


def alike(candidate: Scores, baseline: Scores | None) -> Iterator[str]:
    """Say so if two results, in one order of queries, are one: of course nothing was lost then."""
    if baseline is None or candidate.values.keys() != baseline.values.keys():
        return
    pairs = ((found, baseline.values[name]) for name, found in candidate.values.items())
    if all(np.array_equal(found, was) for found, was in pairs):
        yield (
            "Candidate and baseline have the same values for every query. Are they one result "
            "under two names? Then this says nothing of the candidate."
        )


def _require_queries(candidate: Scores, baseline: Scores) -> None:
    ours, theirs = set(candidate.queries), set(baseline.queries)
    for which, more in (("baseline", ours - theirs), ("candidate", theirs - ours)):
        if more:
            shown = ", ".join(map(repr, sorted(more)[:SHOWN]))
            raise DataMismatch(
                f"Expected the same queries in both results, found {len(more):,} that the "
                f"{which} lacks: {shown}. Measure both on the same dataset; a query that found "
                "nothing must be there, with 0."
            )
    at = {query: row for row, query in enumerate(baseline.queries)}
    rows = [at[query] for query in candidate.queries]
    # A field that one side lacks counts too: else whoever measures fewer is asked less.
    fields = dict.fromkeys((*candidate.cohorts, *baseline.cohorts))
    for what, mine, other in (
        ("clusters", candidate.clusters, baseline.clusters),
        *((f"cohorts by {field}", candidate.cohorts.get(field, ()), baseline.cohorts.get(field, ()))
          for field in fields),
    ):  # fmt: skip
        if (
            len(mine) != len(rows)
            or len(other) != len(rows)
            or any(a != other[row] for a, row in zip(mine, rows, strict=True))
        ):
            raise DataMismatch(
                f"Expected the same {what} in both results, found others. Measure both with the "
                "same evaluation.cohorts, by the same version of nearfar."
            )


def _reads_margin(policy: Policy) -> bool:
    return any(rule.metric in ("margin_score", "positive_above_negative_score")
               for rule in policy.changes)  # fmt: skip
