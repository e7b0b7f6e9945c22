"""Two versions of an index, asked the same: who finds more, how alike they are, how fast."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from nearfar.errors import BadRecord
from nearfar.evaluation.metrics import Judged, mean_scores
from nearfar.progress import Progress, silent
from nearfar.search.live_index import LiveIndex

_K = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One version, on some queries."""

    version: str
    space: str  # its fingerprint
    p50_ms: float  # of one query, its encoding included
    p95_ms: float
    scores: Mapping[str, float] | None  # nDCG@10, recall@10, MRR@10; None: nothing was judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two versions, on the same queries."""

    queries: int
    judged: int  # of them with an answer: those that the scores are means of
    live: Measured
    other: Measured
    overlap_at_10: float  # share of the first ten documents that both find, 0 to 1; a mean

    def to_json(self) -> dict[str, Any]:
        """Return all of it in plain values."""
        return asdict(self)


def compare_versions(
    live: LiveIndex,
    other: LiveIndex,
    queries: Mapping[str, str],
    judged: Judged | None = None,
    *,
    progress: Progress = silent,
    clock: Callable[[], float] = perf_counter,
) -> Compared:
    """Ask two versions the same, one query after the other, each version as it will be asked.

    Args:
        live: the version that searches go to.
        other: the one that may take its place.
        queries: texts by their ids.
        judged: grades of documents by the id of the query; those without an answer have no score.
        progress: told after every query of a version.
        clock: tells seconds.

    Raises:
        BadRecord: there is no query.
    """
    if not queries:
        raise BadRecord("Expected queries to measure two versions by, found none.")
    answered = {
        query: grades
        for query, grades in (judged or {}).items()
        if query in queries and any(grade > 0 for grade in grades.values())
    }
    rankings, measured = [], []
    for index in (live, other):
        found, seconds = _asked(index, queries, progress, clock)
        rankings.append(found)
        p50, p95 = (float(np.quantile(seconds, share) * 1_000) for share in (0.5, 0.95))
        own = {query: found[query] for query in answered}
        measured.append(
            Measured(
                version=index.version,
                space=index.space.fingerprint,
                p50_ms=p50,
                p95_ms=p95,
                scores=mean_scores(own, answered) if own else None,
            )
        )
    first, second = rankings
    return Compared(
        queries=len(queries),
        judged=len(answered),
        live=measured[0],
        other=measured[1],
        overlap_at_10=float(np.mean([_overlap(first[one], second[one]) for one in queries])),
    )


def _asked(
    index: LiveIndex, queries: Mapping[str, str], progress: Progress, clock: Callable[[], float]
) -> tuple[dict[str, list[str]], list[float]]:
    index.search([next(iter(queries.values()))], k=_K)  # the first loads what others find loaded
    rankings, seconds = {}, []
    for done, (query, text) in enumerate(queries.items(), start=1):
        start = clock()
        (answer,) = index.search([text], k=_K)
        seconds.append(clock() - start)
        rankings[query] = [hit.document.id for hit in answer.hits]
        progress(f"ask version {index.version}", done, len(queries))
    return rankings, seconds


def _overlap(one: Sequence[str], other: Sequence[str]) -> float:
    most = max(len(one), len(other))
    return len(set(one) & set(other)) / most if most else 1.0
