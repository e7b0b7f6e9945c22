"""Measures two stages on the same queries: what retrieval lost, and what reranking won.

Shapes: Q queries, N candidates of one query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, require
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.intervals import estimate
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.report import Depth, Latency, Reranking, paired
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent

Floats = npt.NDArray[np.float64]
Rankings = Mapping[str, Sequence[str]]

_CURVE = (0, 10, 20, 50, 100, 200, 500, 1_000)  # candidates read, where the curve is drawn
_PLACES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStages:
    """The candidates of each query and what the reranker made of them, in the task's order."""

    task: Task
    candidates: Sequence[Sequence[str]]  # document ids, as retrieval ordered them
    logits: Sequence[Floats]  # of each candidate
    retrieval_seconds: Floats  # (Q,)
    reranking_seconds: Floats  # (Q,)

    def reranked(self, depth: int) -> dict[str, list[str]]:
        """Return the rankings where the first candidates are read and the others follow."""
        return self._ordered(depth, lambda place: -self.logits[place])

    def best(self, depth: int) -> dict[str, list[str]]:
        """Return the rankings that someone who knows the answers would make of them."""
        return self._ordered(
            depth,
            lambda place: -np.array(
                [self.task.judged[self.task.queries[place].id].get(id_, 0.0)
                 for id_ in self.candidates[place]]
            ),
        )  # fmt: skip

    def _ordered(self, depth: int, worth: Callable[[int], Floats]) -> dict[str, list[str]]:
        """Order the first candidates by what is least; equals keep the order of retrieval."""
        found = {}
        for place, (query, ids) in enumerate(zip(self.task.queries, self.candidates, strict=True)):
            order = np.argsort(worth(place)[:depth], kind="stable")
            found[query.id] = [*(ids[i] for i in order), *ids[depth:]]
        return found

    def per_query(self) -> dict[str, object]:
        """Return columns: of each query its values, its first hits and its time, stage by stage."""
        most = max(map(len, self.candidates))
        columns: dict[str, object] = {}
        for name, depth in (("retrieved", 0), ("reranked", most)):
            rankings = self.reranked(depth)
            columns |= {f"{name}_{metric}": values
                        for metric, values in _values(self.task, rankings).items()}  # fmt: skip
            columns[f"{name}_hits"] = [rankings[q.id][:_PLACES] for q in self.task.queries]
        columns["retrieval_seconds"] = self.retrieval_seconds
        columns["reranking_seconds"] = self.reranking_seconds
        columns["candidates"] = [len(ids) for ids in self.candidates]
        return columns


def read_candidates(
    task: Task,
    dataset: Dataset,
    retrieve: Callable[[str], Sequence[int]],
    reranker: Reranker,
    *,
    clock: Callable[[], float] = perf_counter,
    progress: Progress = silent,
) -> TwoStages:
    """Retrieve and rerank for each query alone, as a person who waits would, and take the time.

    Each candidate is read once; whatever is asked of fewer candidates is counted from that.

    Args:
        task: the queries, and what is known to be right.
        dataset: where the texts are.
        retrieve: from the words of a query to rows of the task's documents, best first.
        reranker: reads each query with all its candidates.
        clock: tells seconds.
        progress: told after every query.

    Raises:
        BadModel: the reranker said something that is not a number.
    """
    # A first call loads libraries and wakes threads, which no later one does.
    asked = task.queries[0].content
    retrieve(asked)
    reranker.score(asked, [asked])
    rows, found_in = [], []
    for query in task.queries:
        start = clock()
        rows.append(list(retrieve(query.content)))
        found_in.append(clock() - start)
        progress("retrieving", len(rows), len(task.queries))
    texts = _texts(dataset, task, sorted(set(chain.from_iterable(rows))))
    logits, read_in = [], []
    for query, own in zip(task.queries, rows, strict=True):
        contents = texts(own)
        start = clock()
        found = reranker.score(query.content, contents).double().numpy()
        read_in.append(clock() - start)
        if not np.isfinite(found).all():
            place = own[int(np.flatnonzero(~np.isfinite(found))[0])]
            raise BadModel(
                f"Expected numbers from the reranker, found others for the query {query.id!r}, "
                f"such as for document {task.document_ids[place]!r}. Check the model with a "
                "short pair; in float16 large models overflow."
            )
        logits.append(found)
        progress("reranking", len(logits), len(task.queries))
    return TwoStages(
        task=task,
        candidates=[[task.document_ids[row] for row in own] for own in rows],
        logits=logits,
        retrieval_seconds=np.array(found_in),
        reranking_seconds=np.array(read_in),
    )


def _texts(
    dataset: Dataset, task: Task, rows: Sequence[int]
) -> Callable[[Sequence[int]], list[str]]:
    """Return a function from rows to contents; only the candidates' texts stand in memory."""
    wanted = pa.array([task.document_ids[row] for row in rows])
    batches = [
        batch.filter(pc.is_in(batch["id"], value_set=wanted))
        for batch in dataset.batches("documents", ["id", "content"])
    ]
    table = pa.Table.from_batches(batches)
    place_of = {task.row_of[id_]: place for place, id_ in enumerate(table["id"].to_pylist())}

    def texts(own: Sequence[int]) -> list[str]:
        places = pa.array([place_of[row] for row in own], pa.int64())
        found: list[str] = table["content"].take(places).to_pylist()
        return found

    return texts


def compare_stages(
    stages: TwoStages,
    reranker: str,
    asked: Sequence[int],
    clusters: Sequence[str],
    *,
    words_too: bool,
) -> Reranking:
    """Return both stages in numbers, with intervals paired query by query.

    Args:
        stages: the candidates and their logits, as many as the largest number asked for.
        reranker: its fingerprint.
        asked: numbers of candidates.
        clusters: (Q,) what each query belongs to.
        words_too: whether BM25 helped to find candidates.
    """
    depths = sorted({*asked, *(depth for depth in _CURVE if depth <= max(asked))})
    alone = _values(stages.task, stages.reranked(0))
    seconds = float(stages.reranking_seconds.sum())
    pairs = sum(map(len, stages.candidates))
    return Reranking(
        reranker=reranker,
        words_too=words_too,
        asked=tuple(sorted(set(asked))),
        depths=tuple(_depth(stages, depth, alone, clusters) for depth in depths),
        retrieval=_latency(stages.retrieval_seconds),
        reranking=_latency(stages.reranking_seconds),
        pairs_per_second=pairs / seconds if seconds > 0 else 0.0,
    )


def _depth(
    stages: TwoStages, depth: int, alone: Mapping[str, Floats], clusters: Sequence[str]
) -> Depth:
    task = stages.task
    reranked = _values(task, stages.reranked(depth))
    ceiling = _values(task, stages.best(depth))["ndcg_at_10_score"]
    recall = np.array([
        _recall(task.judged[query.id], ids[:depth])
        for query, ids in zip(task.queries, stages.candidates, strict=True)
    ])  # fmt: skip
    return Depth(
        candidates=depth,
        recall=estimate(recall, clusters, span=(0.0, 1.0)),
        ceiling=estimate(ceiling, clusters, span=(0.0, 1.0)),
        measures=tuple(
            paired(name, values, reranked[name], clusters) for name, values in alone.items()
        ),
    )


def _values(task: Task, rankings: Rankings) -> dict[str, Floats]:
    """Return of each query what a ranking is worth, and how much of it anyone has judged."""
    scores = per_query(rankings, task.judged)
    found = {
        name: np.array([scores[query.id][name] for query in task.queries])
        for name in ("ndcg_at_10_score", "recall_at_10_score", "mrr_at_10_score")
    }
    # A reranker brings up documents that nobody looked at; they count as wrong, and may be right.
    found["judged_at_10_score"] = np.array([
        sum(id_ in task.judged[query.id] for id_ in rankings[query.id][:_PLACES])
        / max(len(rankings[query.id][:_PLACES]), 1)
        for query in task.queries
    ])  # fmt: skip
    return found


def _recall(grades: Mapping[str, float], ids: Sequence[str]) -> float:
    answers = {id_ for id_, grade in grades.items() if grade > 0}
    return len(answers & set(ids)) / len(answers)


def _latency(seconds: Floats) -> Latency:
    return Latency(
        median_seconds=float(np.median(seconds)), p95_seconds=float(np.quantile(seconds, 0.95))
    )


def require_depths(asked: Sequence[int]) -> None:
    """Raise BadSetting unless each number of candidates can be measured."""
    require(len(asked) > 0, "candidates", "one number or more", list(asked))
    expected = f"{_PLACES} or more, since so many are measured"
    require(min(asked) >= _PLACES, "candidates", expected, min(asked))
