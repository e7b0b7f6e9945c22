"""Quality against cost: fewer dimensions, fewer bytes, each held against the full vectors.

Shapes: Q queries, C documents, D dimensions, d of them kept.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.errors import require
from nearfar.evaluation.amounts import amount
from nearfar.evaluation.embedded import Embedded
from nearfar.evaluation.intervals import Estimate, Floats
from nearfar.evaluation.measure import Measure, paired, span
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.reranked import latency_of
from nearfar.evaluation.stages import Latency
from nearfar.evaluation.stored import Stored, binary_vectors, float_vectors, int8_vectors
from nearfar.progress import Progress, silent
from nearfar.vectors.similarity import unit

METRIC = "ndcg_at_10_score"
_PLACES = 10
_FEWEST_DIMENSIONS = 16
_RESCORED = 40  # candidates of binary vectors: four times the places
_TIMED = 50  # queries that are asked alone
_PRECISIONS = 5
_LITTLE = 0.01  # of nDCG@10, that storage may cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one way to store the vectors is worth, and what it costs."""

    name: str  # "float32", "int8", "binary, 40 rescored"; "192" of a dimension
    dimension: int
    bytes_per_vector: float  # that a search walks through
    bytes_aside: int  # of a document that only candidates are fetched from
    measure: Measure  # base: full vectors; tuned: these
    latency: Latency  # of one query in an exact search here; the encoder is not in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Quality against dimension and against precision; the first point of both is the full one."""

    documents: int
    dimensions: tuple[Point, ...]  # float32, the first d numbers, from many to few
    precisions: tuple[Point, ...]  # all numbers, from many bytes to few

    def to_json(self) -> dict[str, Any]:
        """Return them for a report."""
        facts = asdict(self)
        return {name: list(found) if isinstance(found, tuple) else found
                for name, found in facts.items()}  # fmt: skip


def cost_curves(
    embedded: Embedded,
    clusters: Sequence[str],
    *,
    dimensions: Sequence[int] | None = None,
    rescored: int = _RESCORED,
    clock: Callable[[], float] = perf_counter,
    progress: Progress = silent,
) -> Curves:
    """Measure nDCG@10 of vectors that are cut short or rounded, query by query against whole ones.

    Cut vectors are the first d numbers, made unit again: that is only meant to work for models
    trained so (Matryoshka); for others it shows what cutting them would lose. Nothing is encoded
    again. Queries stay float32, but where signs are compared. Every search is exact and made for
    one query at a time on this machine; an approximate index is faster.

    Args:
        embedded: a task in one space, unit vectors.
        clusters: (Q,) what each query hangs together with.
        dimensions: some d from 1 to D; None: D, D / 2, D / 4 and so on, down to 16.
        rescored: candidates of binary vectors that are put in order by float32 ones, 10 or more.
        clock: seconds.
        progress: told after each point.

    Raises:
        BadSetting: a dimension is not from 1 to D, or fewer than 10 are rescored.

    Source: Kusupati et al. 2022, arXiv:2205.13147, section 4, of dimensions; the precisions as in
        `stored.py`.
    """
    full = embedded.documents.shape[1]
    asked = _halves(full) if dimensions is None else sorted(set(dimensions), reverse=True)
    for one in asked:
        require(1 <= one <= full, "evaluation.dimensions", f"from 1 to {full}", one)
    require(rescored >= _PLACES, "evaluation.rescored", f"{_PLACES} or more", rescored)
    shorter = [one for one in asked if one < full]
    points: list[Point] = []
    whole: Floats | None = None  # the first form is the full one
    for dimension, form, queries in _forms(embedded, shorter, rescored):
        found = _values(embedded, form, queries)
        whole = found if whole is None else whole
        points.append(
            Point(
                name=form.name if dimension == full else str(dimension),
                dimension=dimension,
                bytes_per_vector=form.bytes_per_vector,
                bytes_aside=form.bytes_aside,
                measure=paired(METRIC, whole, found, clusters),
                latency=latency_of(_seconds(form, queries, clock)),
            )
        )
        progress("measuring stored vectors", len(points), _PRECISIONS + len(shorter))
    return Curves(
        documents=len(embedded.documents),
        dimensions=(points[0], *points[_PRECISIONS:]),
        precisions=tuple(points[:_PRECISIONS]),
    )


def told_of_curves(curves: Curves) -> list[str]:
    """Say in a sentence each which precision and which dimension could be enough, and how surely.

    It is the smallest that changes nDCG@10 by -0.01 or better on these queries.
    """
    found = []
    for points, what in ((curves.precisions, "precision"), (curves.dimensions, "dimension")):
        cheap = [point for point in points[1:] if _change(point).mean >= -_LITTLE]
        if not cheap:
            found.append(f"Every lower {what} costs more than {_LITTLE} of nDCG@10.")
            continue
        best = min(cheap, key=lambda point: point.bytes_per_vector)
        name = best.name if what == "precision" else f"the first {best.name} numbers"
        found.append(f"By {what}: {name} {_told(best, points[0])}")
    return found


def _told(best: Point, full: Point) -> str:
    change = _change(best)
    sure = change.low is not None and change.low >= -_LITTLE
    doubt = "" if sure else f" (too few to be sure that it costs no more than {_LITTLE})"
    aside = f", and {best.bytes_aside:,} aside," if best.bytes_aside else ""
    return (
        f"changes nDCG@10 by {span(change, sign=True)} over {amount(change.n, 'query')}{doubt}. "
        f"It needs {best.bytes_per_vector:,.0f} bytes a vector{aside} instead of "
        f"{full.bytes_per_vector:,.0f}; an exact search takes "
        f"{1e3 * best.latency.median_seconds:,.2f} ms a query instead of "
        f"{1e3 * full.latency.median_seconds:,.2f}."
    )


def _change(point: Point) -> Estimate:
    assert point.measure.difference is not None, "a point is held against the full vectors"
    return point.measure.difference


def _forms(
    embedded: Embedded, shorter: Sequence[int], rescored: int
) -> Iterator[tuple[int, Stored, Tensor]]:
    """Yield dimension, documents and queries of every way: one at a time is in memory."""
    queries, documents = embedded.queries, embedded.documents
    full = documents.shape[1]
    yield full, float_vectors(documents, torch.float32), queries
    yield full, float_vectors(documents, torch.float16), queries
    yield full, int8_vectors(documents), queries
    yield full, binary_vectors(documents, rescored=rescored), queries
    yield full, binary_vectors(documents), queries
    for one in shorter:
        yield one, float_vectors(unit(documents[:, :one]), torch.float32), unit(queries[:, :one])


def _halves(full: int) -> list[int]:
    found = [full]
    while found[-1] // 2 >= _FEWEST_DIMENSIONS:
        found.append(found[-1] // 2)
    return found


def _values(embedded: Embedded, form: Stored, queries: Tensor) -> Floats:
    """Return nDCG@10 of each query."""
    ids = embedded.task.document_ids
    asked = [query.id for query in embedded.task.queries]
    rows = form.batch(queries, _PLACES).tolist()
    rankings = {id_: [ids[row] for row in own] for id_, own in zip(asked, rows, strict=True)}
    found = per_query(rankings, embedded.task.judged, [METRIC])
    return np.array([found[id_][METRIC] for id_ in asked])


def _seconds(form: Stored, queries: Tensor, clock: Callable[[], float]) -> Floats:
    """Return how long some queries take alone, one after the other."""
    form.alone(queries[:1], _PLACES)  # the first pays for what is loaded then
    found = []
    for place in range(min(len(queries), _TIMED)):
        start = clock()
        form.alone(queries[place : place + 1], _PLACES)
        found.append(clock() - start)
    return np.array(found)
