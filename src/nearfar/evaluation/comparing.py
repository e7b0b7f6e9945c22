"""Several systems on one test set, side by side: who is better, by how much, and at what cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nearfar.errors import BadSetting, DataMismatch
from nearfar.evaluation.amounts import amount
from nearfar.evaluation.cohorts import cohorts_in
from nearfar.evaluation.holm import adjusted
from nearfar.evaluation.intervals import Estimate, Floats, estimate
from nearfar.evaluation.scores import Scores
from nearfar.evaluation.sign_flips import sign_flip_p

LEVEL = 0.05  # of false differences that may be called real, over the whole table
SHOWN = ("ndcg_at_10_score", "recall_at_10_score", "recall_at_100_score", "mrr_at_10_score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of one system, less that of the reference, query by query."""

    estimate: Estimate
    p: float  # that chance alone makes so large a difference, either way
    adjusted_p: float  # after Holm, over all differences of the comparison

    @property
    def holds(self) -> bool:
        """Whether it is told from chance, with all others beside it."""
        return self.adjusted_p <= LEVEL

    @property
    def verdict(self) -> str:
        """Return better, worse, or unclear; every metric here is better when higher."""
        if not self.holds:
            return "unclear"
        return "better" if self.estimate.mean > 0 else "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One system in the comparison."""

    name: str
    means: Mapping[str, Estimate]  # of each metric
    differences: Mapping[str, Difference]  # to the reference, of each metric; none of its own
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRow:
    """The first metric on one cohort: an estimate for each system, in their order."""

    field: str
    value: str
    n: int
    means: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it; means are of the same queries for every system."""

    dataset: str  # digest
    split: str
    documents: int
    queries: int
    clusters: int
    reference: str
    metrics: tuple[str, ...]
    systems: tuple[Compared, ...]
    cohorts: tuple[CohortRow, ...]


def compare(
    found: Mapping[str, Scores],
    *,
    reference: str,
    metrics: Sequence[str] = SHOWN,
    seed: int = 0,
) -> Comparison:
    """Hold systems against one of them on the same queries.

    The test flips the signs of whole clusters (`sign_flip_p`), both ways. Holm's correction goes
    over every difference of the table: with probability 1 - LEVEL none that is said to hold is
    by chance alone.

    Args:
        found: the scores of each system, by its name.
        reference: the name of the one that the others are held against.
        metrics: which are compared, each 0 to 1 and better when higher.
        seed: of the flips.

    Raises:
        BadSetting: there is no such reference, or no such metric.
        DataMismatch: the scores are not of one test set, or one of them is not a number.
    """
    if reference not in found:
        raise BadSetting(f"reference: expected one of {', '.join(found)}, got {reference!r}.")
    if len(set(metrics)) != len(metrics) or not metrics:
        raise BadSetting(f"metrics: expected some, each once, got {', '.join(metrics) or 'none'}.")
    base = found[reference]
    same = {name: _as_in(base, reference, scores, name) for name, scores in found.items()}
    values = {name: _values(scores, name, metrics) for name, scores in same.items()}
    others = [name for name in same if name != reference]
    tested = _tested(values, reference, others, base.clusters, seed)
    systems = [
        Compared(
            name=name,
            means={m: estimate(values[name][:, i], base.clusters, span=(0.0, 1.0))
                   for i, m in enumerate(metrics)},
            differences=dict(zip(metrics, tested.get(name, ()), strict=False)),
            costs=dict(scores.costs),
        )
        for name, scores in same.items()
    ]  # fmt: skip
    return Comparison(
        dataset=base.dataset,
        split=base.split,
        documents=base.documents,
        queries=len(base.queries),
        clusters=len(set(base.clusters)),
        reference=reference,
        metrics=tuple(metrics),
        systems=tuple(systems),
        cohorts=tuple(_cohorts(base, [values[name][:, 0] for name in same])),
    )


def _as_in(base: Scores, reference: str, scores: Scores, name: str) -> Scores:
    """Return scores in the order of the reference's queries.

    Raises:
        DataMismatch: they are of another test set.
    """
    again = "Measure both on the same data: `nearfar compare` does."
    for what in ("dataset", "split", "documents"):
        ours, theirs = getattr(base, what), getattr(scores, what)
        if ours != theirs:
            raise DataMismatch(
                f"{name}: expected scores on the test set of {reference} ({what} {ours}), found "
                f"{what} {theirs}. {again}"
            )
    if scores.queries == base.queries:
        return scores
    here, there = set(base.queries), set(scores.queries)
    if here != there or len(scores.queries) != len(base.queries):
        example = min(here ^ there, default=scores.queries[0])
        raise DataMismatch(
            f"{name}: expected the {amount(len(base.queries), 'query')} of {reference}, found "
            f"{len(scores.queries):,}, not the same; {example!r}, for example, is in one of them "
            f"alone or twice. {again}"
        )
    place = {query: i for i, query in enumerate(scores.queries)}
    order = np.array([place[query] for query in base.queries])
    values = {metric: of[order] for metric, of in scores.values.items()}
    return replace(scores, queries=base.queries, values=values, hits=())


def _values(scores: Scores, name: str, metrics: Sequence[str]) -> Floats:
    """Return a column for each metric."""
    if unknown := [metric for metric in metrics if metric not in scores.values]:
        raise BadSetting(
            f"metrics: {name} has no {', '.join(unknown)}. It has {', '.join(scores.values)}."
        )
    columns = np.stack([scores.values[metric] for metric in metrics], axis=1)
    if not np.isfinite(columns).all():
        row, column = (int(place[0]) for place in np.nonzero(~np.isfinite(columns)))
        raise DataMismatch(
            f"{name}: expected numbers, found {metrics[column]} {columns[row, column]} for the "
            f"query {scores.queries[row]!r}. Measure it again."
        )
    return columns


def _tested(
    values: Mapping[str, Floats],
    reference: str,
    others: Sequence[str],
    clusters: Sequence[str],
    seed: int,
) -> dict[str, list[Difference]]:
    """Return of each other system its differences to the reference, in the order of the metrics."""
    if not others:
        return {}
    gaps = np.concatenate([values[name] - values[reference] for name in others], axis=1)
    both = np.concatenate([gaps, -gaps], axis=1)  # one flip serves both sides, and all columns
    sides = sign_flip_p(both, clusters, seed=seed).reshape(2, -1)
    p = np.minimum(2 * sides.min(axis=0), 1.0)
    drawn = [
        Difference(estimate=estimate(gap, clusters, span=(-1.0, 1.0)), p=alone, adjusted_p=among)
        for gap, alone, among in zip(gaps.T, p.tolist(), adjusted(p).tolist(), strict=True)
    ]
    width = len(drawn) // len(others)
    return {name: drawn[i * width : (i + 1) * width] for i, name in enumerate(others)}


def _cohorts(base: Scores, columns: Sequence[Floats]) -> list[CohortRow]:
    rows = []
    clusters = np.array(base.clusters)
    for field, value, own in cohorts_in(base.cohorts):
        groups = clusters[own].tolist()
        means = tuple(estimate(column[own], groups, span=(0.0, 1.0)) for column in columns)
        rows.append(CohortRow(field=field, value=value, n=len(own), means=means))
    return rows
