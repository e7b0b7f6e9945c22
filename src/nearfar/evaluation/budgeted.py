"""What two stages are worth within a time: of each query, as many candidates as fit are read.

Shapes: Q queries, B budgets.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from nearfar.errors import require
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.measure import paired
from nearfar.evaluation.reranked import TwoStages, latency_of, values_of
from nearfar.evaluation.stages import Budget, Reads
from nearfar.progress import Progress, silent

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Answer = Callable[[str, float], int]  # a query and its seconds; how many candidates were read


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgeted:
    """How many candidates of each query were read within each time, in the task's order."""

    budgets: tuple[float, ...]  # (B,) seconds, ascending
    read: Ints  # (Q, B)
    seconds: Floats  # (Q, B) of the whole answer, retrieval included

    def per_query(self) -> dict[str, object]:
        """Return columns: of each query what was read within each time, and how long it took."""
        columns: dict[str, object] = {}
        for place, budget in enumerate(self.budgets):
            within = f"within_{1e3 * budget:g}_ms"
            columns[f"candidates_{within}"] = self.read[:, place]
            columns[f"seconds_{within}"] = self.seconds[:, place]
        return columns


def answer_within(
    task: Task,
    answer: Answer,
    budgets: Sequence[float],
    *,
    clock: Callable[[], float] = perf_counter,
    progress: Progress = silent,
) -> Budgeted:
    """Ask each query alone, as search is asked, once for each budget, and take the time.

    Args:
        task: the queries.
        answer: retrieves and reranks for a query until so many seconds are over.
        budgets: seconds, in any order.
        clock: tells seconds.
        progress: told after every answer.
    """
    budgets = tuple(sorted(set(budgets)))
    read = np.zeros((len(task.queries), len(budgets)), dtype=np.int64)
    seconds = np.zeros(read.shape)
    for column, budget in enumerate(budgets):
        for row, query in enumerate(task.queries):
            start = clock()
            read[row, column] = answer(query.content, budget)
            seconds[row, column] = clock() - start
            progress(f"answering within {1e3 * budget:g} ms", row + 1, len(task.queries))
    return Budgeted(budgets=budgets, read=read, seconds=seconds)


def compare_budgets(
    stages: TwoStages, budgeted: Budgeted, clusters: Sequence[str]
) -> tuple[Budget, ...]:
    """Return what each budget is worth, held against retrieval alone query by query.

    What was read within a time is ordered by the logits that `stages` knows already: they are the
    same, but for the rounding of other company.

    Args:
        stages: the candidates and the logits of all of them.
        budgeted: how many of them were read.
        clusters: (Q,) what each query belongs to.
    """
    alone = values_of(stages.task, stages.reranked(0))
    return tuple(
        _budget(stages, budgeted, place, alone, clusters) for place in range(len(budgeted.budgets))
    )


def _budget(
    stages: TwoStages,
    budgeted: Budgeted,
    place: int,
    alone: Mapping[str, Floats],
    clusters: Sequence[str],
) -> Budget:
    read = budgeted.read[:, place]
    reranked = values_of(stages.task, stages.reranked(read))
    most = np.array([len(ids) for ids in stages.candidates])
    return Budget(
        seconds=budgeted.budgets[place],
        read=Reads(
            mean=float(read.mean()),
            median=float(np.median(read)),
            p95=float(np.quantile(read, 0.95)),
        ),
        stopped=float((read < most).mean()),
        latency=latency_of(budgeted.seconds[:, place]),
        measures=tuple(
            paired(name, values, reranked[name], clusters) for name, values in alone.items()
        ),
    )


def require_budgets(budgets: Sequence[float]) -> None:
    """Raise BadSetting unless each budget is a time, in seconds."""
    for budget in budgets:
        require(0 < budget < math.inf, "a budget", "above 0, in seconds", budget)
