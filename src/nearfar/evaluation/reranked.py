"""Measures two stages on the same queries: what retrieval lost, and what reranking won.

Shapes: Q queries, N candidates of one query, S numbers of candidates that were asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadModel, require
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.intervals import estimate
from nearfar.evaluation.measure import paired
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.stages import Depth, Latency, Reranking
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rankings = Mapping[str, Sequence[str]]

_CURVE = (0, 10, 20, 50, 100, 200, 500, 1_000)  # candidates read, where the curve is drawn
_PLACES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStages:
    """The candidates of each query and what the reranker made of them, in the task's order."""

    task: Task
    candidates: Sequence[Sequence[str]]  # document ids, as retrieval ordered them
    logits: Sequence[Floats]  # of each candidate
    depths: tuple[int, ...]  # (S,) numbers of candidates that were timed, ascending
    retrieval_seconds: Floats  # (Q,)
    fetching_seconds: Floats  # (Q, S) the texts of the first candidates, up to each number
    reranking_seconds: Floats  # (Q, S) the same texts read

    @property
    def most(self) -> int:
        """Return how many candidates the query has that has most."""
        return max(map(len, self.candidates))

    def reranked(self, depth: int | Ints) -> dict[str, list[str]]:
        """Return the rankings where the first candidates are read and the others follow.

        Args:
            depth: how many of each query, or (Q,) of one after the other.
        """
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

    def _ordered(self, depth: int | Ints, worth: Callable[[int], Floats]) -> dict[str, list[str]]:
        """Order the first candidates by what is least; equals keep the order of retrieval."""
        found = {}
        depths = np.broadcast_to(depth, len(self.candidates)).tolist()
        for place, (query, ids) in enumerate(zip(self.task.queries, self.candidates, strict=True)):
            order = np.argsort(worth(place)[: depths[place]], kind="stable")
            found[query.id] = [*(ids[i] for i in order), *ids[depths[place] :]]
        return found

    def per_query(self) -> dict[str, object]:
        """Return columns: of each query its values, its first hits and its time, stage by stage."""
        columns: dict[str, object] = {}
        for name, depth in (("retrieved", 0), ("reranked", self.most)):
            rankings = self.reranked(depth)
            columns |= {f"{name}_{metric}": values
                        for metric, values in values_of(self.task, rankings).items()}  # fmt: skip
            columns[f"{name}_hits"] = [rankings[q.id][:_PLACES] for q in self.task.queries]
        columns["retrieval_seconds"] = self.retrieval_seconds
        columns["fetching_seconds"] = self.fetching_seconds[:, -1]
        columns["reranking_seconds"] = self.reranking_seconds[:, -1]
        columns["candidates"] = [len(ids) for ids in self.candidates]
        return columns


def read_candidates(
    task: Task,
    retrieve: Callable[[str], Sequence[int]],
    fetch: Callable[[Sequence[int]], Sequence[str]],
    reranker: Reranker,
    asked: Sequence[int],
    *,
    clock: Callable[[], float] = perf_counter,
    progress: Progress = silent,
) -> TwoStages:
    """Retrieve and rerank for each query alone, as a person who waits would, and take the time.

    Each candidate is read once: first those up to the smallest number asked for, then those up to
    the next. The time of a number is that of all parts up to it, so a larger one may look slower,
    by the cost of a call or two, than it would be in one go.

    Args:
        task: the queries, and what is known to be right.
        retrieve: from the words of a query to rows of the task's documents, best first.
        fetch: from rows of documents to their texts, as a search would fetch them.
        reranker: reads each query with all its candidates.
        asked: the numbers of candidates that are timed, in any order.
        clock: tells seconds.
        progress: told after every query.

    Raises:
        BadModel: the reranker said something that is not a number.
    """
    # A first call loads libraries and wakes threads, which no later one does. It asks for what no
    # query does, in words that are known.
    waking = fetch([0])[0][:100]
    reranker.score(waking, fetch(retrieve(waking)[:1]))
    rows, found_in = [], []
    for query in task.queries:
        start = clock()
        rows.append(list(retrieve(query.content)))
        found_in.append(clock() - start)
        progress("retrieving", len(rows), len(task.queries))
    # Fewer documents than were asked for can be found: no number is larger than what was read.
    depths = tuple(sorted({min(depth, max(map(len, rows))) for depth in asked}))
    logits, times = [], []
    for query, own in zip(task.queries, rows, strict=True):
        found, spent = _read(query.content, own, depths, (fetch, reranker, clock))
        if not np.isfinite(found).all():
            place = own[int(np.flatnonzero(~np.isfinite(found))[0])]
            raise BadModel(
                f"Expected numbers from the reranker, found others for the query {query.id!r}, "
                f"such as for document {task.document_ids[place]!r}. Check the model with a "
                "short pair; in float16 large models overflow."
            )
        logits.append(found)
        times.append(spent)
        progress("reranking", len(logits), len(task.queries))
    seconds = np.cumsum(np.array(times), axis=1)  # (Q, S, 2)
    return TwoStages(
        task=task,
        candidates=[[task.document_ids[row] for row in own] for own in rows],
        logits=logits,
        depths=depths,
        retrieval_seconds=np.array(found_in),
        fetching_seconds=seconds[:, :, 0],
        reranking_seconds=seconds[:, :, 1],
    )


def _read(
    query: str,
    rows: Sequence[int],
    depths: Sequence[int],
    means: tuple[Callable[[Sequence[int]], Sequence[str]], Reranker, Callable[[], float]],
) -> tuple[Floats, list[tuple[float, float]]]:
    """Return the logits of a query's candidates, and of each part the two times it took."""
    fetch, reranker, clock = means
    logits, times = [np.zeros(0)], []
    for start, end in pairwise((0, *depths)):
        before = clock()
        texts = fetch(rows[start:end])
        fetched = clock()
        if texts:
            logits.append(reranker.score(query, texts).double().numpy())
        times.append((fetched - before, clock() - fetched))
    return np.concatenate(logits), times


def compare_stages(
    stages: TwoStages,
    reranker: str,
    clusters: Sequence[str],
    *,
    words_too: bool,
    lexical_weight: float | None = None,
) -> Reranking:
    """Return both stages in numbers, with intervals paired query by query.

    Args:
        stages: the candidates and their logits.
        reranker: its fingerprint.
        clusters: (Q,) what each query belongs to.
        words_too: whether BM25 helped to find candidates.
        lexical_weight: how much it counted, 0 to 1; None: fused by ranks.
    """
    asked = stages.depths
    depths = sorted({*asked, *(depth for depth in _CURVE if depth <= max(asked))})
    alone = values_of(stages.task, stages.reranked(0))
    seconds = float(stages.reranking_seconds[:, -1].sum())
    pairs = sum(map(len, stages.candidates))
    return Reranking(
        reranker=reranker,
        words_too=words_too,
        lexical_weight=lexical_weight,
        asked=asked,
        depths=tuple(_depth(stages, depth, alone, clusters) for depth in depths),
        retrieval=latency_of(stages.retrieval_seconds),
        fetching=latency_of(stages.fetching_seconds[:, -1]),
        reranking=latency_of(stages.reranking_seconds[:, -1]),
        pairs_per_second=pairs / seconds if seconds > 0 else 0.0,
    )


def _depth(
    stages: TwoStages, depth: int, alone: Mapping[str, Floats], clusters: Sequence[str]
) -> Depth:
    task = stages.task
    reranked = values_of(task, stages.reranked(depth))
    ceiling = values_of(task, stages.best(depth))["ndcg_at_10_score"]
    recall = np.array([
        _recall(task.judged[query.id], ids[:depth])
        for query, ids in zip(task.queries, stages.candidates, strict=True)
    ])  # fmt: skip
    timed = stages.depths.index(depth) if depth in stages.depths else None
    return Depth(
        candidates=depth,
        fetching=None if timed is None else latency_of(stages.fetching_seconds[:, timed]),
        reranking=None if timed is None else latency_of(stages.reranking_seconds[:, timed]),
        recall=estimate(recall, clusters, span=(0.0, 1.0)),
        ceiling=estimate(ceiling, clusters, span=(0.0, 1.0)),
        measures=tuple(
            paired(name, values, reranked[name], clusters) for name, values in alone.items()
        ),
    )


def values_of(task: Task, rankings: Rankings) -> dict[str, Floats]:
    """Return of each query what a ranking is worth, and how much of it anyone has judged."""
    # A reranker brings up documents that nobody looked at; they count as wrong, and may be right.
    names = ("ndcg_at_10_score", "recall_at_10_score", "mrr_at_10_score", "judged_at_10_score")
    scores = per_query(rankings, task.judged, names)
    return {name: np.array([scores[query.id][name] for query in task.queries]) for name in names}


def _recall(grades: Mapping[str, float], ids: Sequence[str]) -> float:
    answers = {id_ for id_, grade in grades.items() if grade > 0}
    return len(answers & set(ids)) / len(answers)


def latency_of(seconds: Floats) -> Latency:
    """Return how long one query takes, from the times of all."""
    return Latency(
        median_seconds=float(np.median(seconds)), p95_seconds=float(np.quantile(seconds, 0.95))
    )


def require_depths(asked: Sequence[int]) -> None:
    """Raise BadSetting unless each number of candidates can be measured."""
    require(len(asked) > 0, "candidates", "one number or more", list(asked))
    expected = f"{_PLACES} or more, since so many are measured"
    require(min(asked) >= _PLACES, "candidates", expected, min(asked))
