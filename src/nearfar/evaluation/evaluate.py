"""Measures one model, or a base and what was made of it, on the same queries."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.data.dataset import Dataset
from nearfar.evaluation.budgeted import Answer, Budgeted, answer_within, compare_budgets
from nearfar.evaluation.cohorts import cohorts_in, cohorts_of
from nearfar.evaluation.curves import Curves, cost_curves
from nearfar.evaluation.embedded import Embedded, Task, embed, rankings, read_task
from nearfar.evaluation.geometry import alignment, answer_rows, shape_of
from nearfar.evaluation.intervals import Estimate, estimate
from nearfar.evaluation.margins import Similarities, digest, pin_negatives, similarities
from nearfar.evaluation.measure import Measure, likely_span, paired
from nearfar.evaluation.metrics import METRICS, per_query
from nearfar.evaluation.report import Report
from nearfar.evaluation.reranked import TwoStages, compare_stages, read_candidates
from nearfar.evaluation.scores import HITS, Scores
from nearfar.evaluation.scoring import RETRIEVAL
from nearfar.evaluation.settings import Evaluation
from nearfar.evaluation.slices import Slice, find_slices
from nearfar.files import whole_file
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent

Floats = npt.NDArray[np.float64]
_SEARCHED = "ndcg_at_10_score"  # the metric whose losses are looked for in slices


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on a task: per query, so that anything can be asked of it later."""

    embedded: Embedded
    rankings: Mapping[str, Sequence[str]]
    values: Mapping[str, Floats]  # of each metric, in the order of the task's queries
    similarities: Similarities
    shape: Mapping[str, float]  # of the whole space; of a single number there is no interval


@dataclass(frozen=True, slots=True)
class Evidence:
    """The report, and what it was made of."""

    report: Report
    base: Measured
    tuned: Measured | None
    task: Task
    clusters: Sequence[str]  # of each query
    cohorts: Mapping[str, Sequence[str]]  # of each field, the value of each query
    slices: tuple[Slice, ...] = ()  # where the tuned model loses most
    curves: Curves | None = None  # what smaller vectors of the last model would cost
    stages: TwoStages | None = None  # where a reranker was measured too
    budgeted: Budgeted | None = None  # and within which times

    @property
    def last(self) -> Measured:
        """Return what was made, or the base where it is alone."""
        return self.tuned or self.base


def evaluate(
    base: Encoder,
    tuned: Encoder | None,
    dataset: Dataset,
    settings: Evaluation,
    *,
    trained: AbstractSet[str] | None = None,
    progress: Progress = silent,
) -> Evidence:
    """Measure one or two models on a split of a dataset; every document of it is a candidate.

    What the last of them has learned from is `trained`, as `cohorts_of` takes it.

    Raises:
        BadRecord: the split has no query with an answer, or no document that is none.
        BadSetting: a cohort is asked for that no query and no answer has.
    """
    task = read_task(dataset, settings.split)
    divided = cohorts_of(dataset, task, settings.cohorts, trained=trained)
    pinned = pin_negatives(dataset, task, seed=settings.seed)
    before = _measure(base, dataset, task, pinned, settings, progress)
    after = None if tuned is None else _measure(tuned, dataset, task, pinned, settings, progress)
    clusters = clusters_of(dataset, task)
    everyone = np.arange(len(task.queries))
    cohorts = [
        _compare(name, before, after, rows, clusters, field, value)
        for field, value, rows in cohorts_in(divided)
        for name in METRICS
    ]
    measures = [
        _compare(name, before, after, everyone, clusters)
        for name in before.values
        if name in METRICS or name not in RETRIEVAL
    ]
    measures += _shapes(before, after)
    slices = () if after is None else find_slices(
        after.values[_SEARCHED] - before.values[_SEARCHED], clusters, divided, seed=settings.seed
    )  # fmt: skip
    curves = None
    if settings.curves:
        curves = cost_curves((after or before).embedded, clusters, progress=progress)
    report = Report(
        dataset=dataset.digest,
        split=settings.split,
        documents=len(task.document_ids),
        without_answer=task.without_answer,
        base=base.space.to_json(),
        tuned=None if tuned is None else tuned.space.to_json(),
        negatives=digest(pinned),
        settings=asdict(settings),
        measures=tuple(measures),
        cohorts=tuple(cohorts),
        slices=tuple(one.to_json() for one in slices),
        curves=None if curves is None else curves.to_json(),
    )
    return Evidence(report, before, after, task, clusters, divided, slices, curves)


def with_reranker(
    evidence: Evidence,
    dataset: Dataset,
    retrieve: Callable[[str], Sequence[int]],
    fetch: Callable[[Sequence[int]], Sequence[str]],
    reranker: Reranker,
    asked: Sequence[int],
    *,
    words_too: bool = False,
    lexical_weight: float | None = None,
    progress: Progress = silent,
) -> Evidence:
    """Measure a second stage on the same queries, and add it to the evidence.

    Args:
        evidence: of the model that retrieves, the last one.
        dataset: whose split is measured.
        retrieve: from the words of a query to rows of the task's documents, best first, at
            least as many as the largest number asked for, if there are so many.
        fetch: from rows of the task's documents to their texts, as a search would fetch them.
        reranker: the second stage.
        asked: how many candidates it reads, 10 or more; several numbers are compared.
        words_too: whether BM25 helped to find candidates.
        lexical_weight: how much it counted, 0 to 1; None: fused by ranks.
        progress: told after every query.

    Raises:
        BadModel: the reranker said something that is not a number.
    """
    stages = read_candidates(evidence.task, retrieve, fetch, reranker, asked, progress=progress)
    found = compare_stages(
        stages, reranker.fingerprint, clusters_of(dataset, evidence.task),
        words_too=words_too, lexical_weight=lexical_weight,
    )  # fmt: skip
    return replace(evidence, stages=stages, report=replace(evidence.report, reranking=found))


def with_budgets(
    evidence: Evidence,
    dataset: Dataset,
    answer: Answer,
    budgets: Sequence[float],
    *,
    progress: Progress = silent,
) -> Evidence:
    """Measure what both stages reach within a time, and add it to the evidence.

    Args:
        evidence: of both stages: `with_reranker` has read all candidates.
        dataset: whose split is measured.
        answer: from a query and its seconds to how many of the same candidates were read.
        budgets: seconds; several are compared.
        progress: told after every answer.
    """
    stages, reranking = evidence.stages, evidence.report.reranking
    assert stages is not None, "nothing was reranked"
    assert reranking is not None, "nothing was reranked"
    found = answer_within(evidence.task, answer, budgets, progress=progress)
    compared = compare_budgets(stages, found, clusters_of(dataset, evidence.task))
    report = replace(evidence.report, reranking=replace(reranking, budgets=compared))
    return replace(evidence, budgeted=found, report=report)


def scores_of(evidence: Evidence, model: Measured, system: str) -> Scores:
    """Return what a model got for each query: what the gate reads.

    Args:
        evidence: that holds the model.
        model: the base, or what was made of it.
        system: what people call it.
    """
    report, task = evidence.report, evidence.task
    space = report.base if model is evidence.base else report.tuned
    return Scores(
        system=system,
        space=space,
        dataset=report.dataset,
        split=report.split,
        documents=report.documents,
        negatives=report.negatives,
        queries=tuple(query.id for query in task.queries),
        clusters=tuple(evidence.clusters),
        cohorts={field: tuple(values) for field, values in evidence.cohorts.items()},
        values=model.values,
        hits=tuple(tuple(model.rankings[query.id][:HITS]) for query in task.queries),
    )


def write_per_query(evidence: Evidence, folder: Path) -> None:
    """Write per_query.parquet: every query with its values and its first hits."""
    task = evidence.task
    columns: dict[str, object] = {"query_id": [query.id for query in task.queries]}
    for name, model in (("base", evidence.base), ("tuned", evidence.tuned)):
        if model is None:
            continue
        columns |= {f"{name}_{metric}": values for metric, values in model.values.items()}
        columns[f"{name}_hits"] = [list(model.rankings[q.id][:10]) for q in task.queries]
    if evidence.stages is not None:
        columns |= evidence.stages.per_query()
    if evidence.budgeted is not None:
        columns |= evidence.budgeted.per_query()
    with whole_file(folder / "per_query.parquet") as part:
        pq.write_table(pa.table(columns), part)


def _measure(
    encoder: Encoder,
    dataset: Dataset,
    task: Task,
    pinned: Mapping[str, tuple[str, ...]],
    settings: Evaluation,
    progress: Progress,
) -> Measured:
    embedded = embed(encoder, dataset, task, progress=progress)
    found = rankings(embedded, settings.depth)
    scores = per_query(found, task.judged, RETRIEVAL)
    values = {
        metric: np.array([scores[query.id][metric] for query in task.queries])
        for metric in RETRIEVAL
    }
    alike = similarities(embedded, pinned)
    queries, answers = answer_rows(embedded)
    apart = alignment(embedded.queries[queries], embedded.documents[answers])
    counts = np.bincount(queries.numpy(), minlength=len(task.queries))
    values["margin_score"] = alike.margins
    values["positive_above_negative_score"] = alike.wins
    values["alignment_loss"] = np.bincount(queries.numpy(), weights=apart) / counts
    return Measured(embedded, found, values, alike, shape_of(embedded, seed=settings.seed))


def _compare(
    name: str,
    before: Measured,
    after: Measured | None,
    rows: npt.NDArray[np.int64],
    clusters: Sequence[str],
    field: str = "",
    value: str = "",
) -> Measure:
    own = [clusters[row] for row in rows]
    seen = [one.values[name] for one in (before, after) if one is not None]
    span = likely_span(name, *seen)
    old = before.values[name][rows]
    if after is None:
        return Measure(name=name, base=estimate(old, own, span=span), field=field, value=value)
    found = paired(name, old, after.values[name][rows], own, span=span)
    return replace(found, field=field, value=value)


def _shapes(before: Measured, after: Measured | None) -> Iterator[Measure]:
    """Yield the measures of the whole space: of a single number there is no interval."""
    count = len(before.embedded.documents)
    for name, was in before.shape.items():
        base = Estimate(was, None, None, count, 1)
        if after is None:
            yield Measure(name=name, base=base)
            continue
        now = after.shape[name]
        yield Measure(name=name, base=base, tuned=replace(base, mean=now),
                      difference=replace(base, mean=now - was))  # fmt: skip


def clusters_of(dataset: Dataset, task: Task) -> list[str]:
    """Return what each query hangs together with: its own group, else that of its answer."""
    answer = {query.id: task.best_answer(query.id) for query in task.queries}
    wanted = set(answer.values())
    group_of = {d.id: d.group or d.id for d in dataset.documents() if d.id in wanted}
    return [query.group or group_of[answer[query.id]] for query in task.queries]
