"""What a system found, query by query, as Scores: all that a comparison or a gate needs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nearfar.data.dataset import Dataset
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.metrics import METRICS, per_query
from nearfar.evaluation.scores import HITS, Scores
from nearfar.evaluation.systems import Found, System
from nearfar.progress import Progress, silent
from nearfar.records import Split

_QUERIES_AT_ONCE = 256  # whose rankings stand in memory as lists

RETRIEVAL = (
    *METRICS,
    "precision_at_10_score",
    "hit_at_1_score",
    "hit_at_10_score",
    "r_precision_score",
    "judged_at_10_score",
)


def scored(
    system: System,
    found: Found,
    dataset: Dataset,
    task: Task,
    *,
    split: Split,
    depth: int,
    clusters: Sequence[str],
    cohorts: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = RETRIEVAL,
    progress: Progress = silent,
) -> Scores:
    """Return what a system got for each query.

    A query that it found nothing for counts 0. Documents that the dataset does not know take
    their places and gain nothing, as all that nobody judged.

    Args:
        system: who found.
        found: what it found.
        dataset: where the task is from.
        task: what was asked.
        split: that the task is of.
        depth: places that count; all systems that are compared need the same.
        clusters: of each query, in the order of the task (`evaluate.clusters_of`).
        cohorts: of each field, the value of each query.
        metrics: their names, as `metrics.metric` reads them.
        progress: told after every some hundred queries.
    """
    values = {metric: np.empty(len(task.queries)) for metric in metrics}
    hits: list[tuple[str, ...]] = []
    for start in range(0, len(task.queries), _QUERIES_AT_ONCE):
        own = [query.id for query in task.queries[start : start + _QUERIES_AT_ONCE]]
        ranked = {id_: list(found.rankings.get(id_, ()))[:depth] for id_ in own}
        judged = {id_: task.judged[id_] for id_ in own}
        got = per_query(ranked, judged, metrics)
        for place, id_ in enumerate(own, start):
            for metric in metrics:
                values[metric][place] = got[id_][metric]
            hits.append(tuple(ranked[id_][:HITS]))
        progress("scoring queries", len(hits), len(task.queries))
    return Scores(
        system=system.name,
        space=_space(system, found),
        dataset=dataset.digest,
        split=split,
        documents=len(task.document_ids),
        queries=tuple(query.id for query in task.queries),
        clusters=tuple(clusters),
        cohorts={name: tuple(of) for name, of in cohorts.items()},
        values=values,
        hits=tuple(hits),
        costs=dict(found.costs),
    )


def with_price(costs: Mapping[str, float], usd_per_million_tokens: float) -> dict[str, float]:
    """Return the costs with what queries and documents cost at a price of tokens."""
    priced = {"usd_per_million_tokens": usd_per_million_tokens}
    for what in ("query", "document"):
        tokens = costs.get(f"tokens_per_{what}")
        if tokens is not None:
            plural = "queries" if what == "query" else "documents"
            priced[f"usd_per_1000_{plural}"] = tokens * 1_000 * usd_per_million_tokens / 1e6
    return dict(costs) | priced


def _space(system: System, found: Found) -> dict[str, Any] | None:
    """Return what is known of where its vectors live; None where there are none."""
    if system.kind == "encoder":
        return dict(system.facts)
    if system.kind == "served":
        dim = int(found.costs["dimensions"])
        return {"fingerprint": system.fingerprint, **system.facts, "dim": dim}
    return None
