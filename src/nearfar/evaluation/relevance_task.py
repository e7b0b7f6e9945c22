"""The task "relevance": what a judge says of the documents that a model finds first.

It needs no judgment of these documents: a good answer that nobody has marked counts as one. Yet it
is a model's word, and says nothing of what was not found.

Shapes: Q queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nearfar.errors import require
from nearfar.evaluation.embedded import Task, embed, rankings, read_task
from nearfar.evaluation.relevance import ContextRelevance, Judge, context_relevance
from nearfar.evaluation.task_scores import Asking, Ints, TaskScores, clusters_of_pairs, scores_of
from nearfar.records import Document, Scalar

RELEVANCE = "relevance"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListJudging:
    """Who judges lists, and how much of them."""

    judge: Judge
    facts: Mapping[str, Scalar] = field(default_factory=dict)  # who the judge is
    depth: int = 10  # documents of each query, the nearest
    repeats: int = 1  # of each question; a judge with dice shows its spread from 2 on
    queries: int | None = None  # at most so many, chosen by the hash of their id; None: all

    def __post_init__(self) -> None:
        for name, found in (("depth", self.depth), ("repeats", self.repeats)):
            require(found >= 1, f"relevance.{name}", "1 or more", found)
        most = self.queries
        require(most is None or most >= 1, "relevance.queries", "1 or more", most)


def judge_lists(askings: Sequence[Asking], judging: ListJudging) -> list[TaskScores]:
    """Let a judge read what some models find for the same queries, and return what each got.

        context_relevance    of a query: the mean over repeats of the mean over its documents
        relevance_spread     of a query: the deviation of that mean over repeats; from 2 on

    A query of which a repeat says nothing, for whatever model, is left out for all of them.

    Args:
        askings: the models, on one split of one dataset.
        judging: who judges, and how much.

    Raises:
        BadRecord: the split has no query with an answer.
        BadModel: a vector is not a number, or the judge said what is not from 0 to 1.
    """
    one = askings[0]
    task = read_task(one.dataset, one.split, queries=judging.queries)
    found = [_judged(asking, task, judging) for asking in askings]
    both = np.logical_and.reduce([relevance.judged for relevance, _ in found])
    rows = np.flatnonzero(both)
    return [
        _scores(asking, task, judging, relevance, lists, rows)
        for asking, (relevance, lists) in zip(askings, found, strict=True)
    ]


def _judged(
    asking: Asking, task: Task, judging: ListJudging
) -> tuple[ContextRelevance, Mapping[str, Sequence[str]]]:
    embedded = embed(asking.encoder, asking.dataset, task, progress=asking.progress)
    lists = rankings(embedded, judging.depth)
    texts = {id_: one.content for id_, one in _documents(asking, set().union(*lists.values()))}
    relevance = context_relevance(
        judging.judge,
        [query.content for query in task.queries],
        [[texts[id_] for id_ in lists[query.id]] for query in task.queries],
        clusters_of_pairs([(query, None) for query in task.queries]),
        repeats=judging.repeats, progress=asking.progress,
    )  # fmt: skip
    return relevance, lists


def _scores(
    asking: Asking,
    task: Task,
    judging: ListJudging,
    relevance: ContextRelevance,
    lists: Mapping[str, Sequence[str]],
    rows: Ints,
) -> TaskScores:
    queries = [task.queries[row] for row in rows.tolist()]
    answers = {query.id: task.best_answer(query.id) for query in queries}
    documents = dict(_documents(asking, set(answers.values())))
    values = {"context_relevance_score": relevance.per_query[rows]}
    if relevance.spreads is not None:
        values["relevance_spread_error"] = relevance.spreads[rows]
    scores = scores_of(
        asking, [(query, documents[answers[query.id]]) for query in queries], values,
        documents=len(task.document_ids),
    )  # fmt: skip
    facts: dict[str, Scalar] = {
        **judging.facts, "depth": judging.depth, "repeats": judging.repeats,
        "not_judged_queries": len(task.queries) - len(rows),
        "not_judged_documents": relevance.unsaid,
    }  # fmt: skip
    hits = tuple(tuple(lists[query.id]) for query in queries)
    return TaskScores(task=RELEVANCE, scores=replace(scores, hits=hits), facts=facts)


def _documents(asking: Asking, ids: set[str]) -> list[tuple[str, Document]]:
    return [(one.id, one) for one in asking.dataset.documents() if one.id in ids]
