"""Tasks beyond retrieval, measured for one model or two and written down.

tasks.json        every number with its interval, and what it depends on
base/TASK, tuned/TASK    the values of each text, pair or query, as `Scores`; beside those of
                  similarity also similarity.json, its calibration
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.judged_pairs import TASKS, require_pairs
from nearfar.evaluation.measure import Measure
from nearfar.evaluation.relevance_task import RELEVANCE, ListJudging, judge_lists
from nearfar.evaluation.scores import write_scores
from nearfar.evaluation.similarity_task import require_dev_pairs
from nearfar.evaluation.task_scores import Asking, Band, TaskScores, TaskSettings, compare_tasks
from nearfar.evaluation.tasks import evaluate_task, require_task
from nearfar.files import whole_folder
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Scalar, Split

RETRIEVAL = "retrieval"  # measured by `evaluate_into`
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TaskReport:
    """One task of one model or two."""

    task: str
    measures: tuple[Measure, ...]
    facts: Mapping[str, Scalar]  # of the last model: thresholds, labels, ...
    bands: tuple[Band, ...] = ()  # of the last model's likeness


def require_tasks(dataset: Dataset, split: Split, tasks: Sequence[str]) -> None:
    """Make sure that a dataset has what tasks need, before any model is loaded.

    Raises:
        BadSetting: there is no such task.
        BadRecord: the split has no judgments of that kind.
    """
    for task in tasks:
        require_task(task, (RETRIEVAL, *TASKS, RELEVANCE))
        if task in TASKS:
            pairs = require_pairs(dataset, split, task)
            if task == "similarity":
                require_dev_pairs(dataset, split, pairs)


def measure_tasks(
    folder: Path,
    dataset: Dataset,
    models: tuple[Encoder, Encoder | None],
    split: Split,
    tasks: Sequence[str],
    *,
    settings: TaskSettings | None = None,
    judging: ListJudging | None = None,
    replace: bool = False,
    progress: Progress = silent,
) -> tuple[TaskReport, ...]:
    """Measure models in tasks beyond retrieval, and write the folder, whole or not at all.

    Args:
        folder: where it will stand.
        dataset: whose split is measured.
        models: the base and what was made of it, or one model.
        split: whose judgments count.
        tasks: their names; retrieval is passed over, a repeated one counts once.
        settings: how.
        judging: who judges what is found, for the task relevance.
        replace: take the place of what stands there already.
        progress: told while texts are embedded.

    Raises:
        BadSetting: there is no such task, or nobody to judge.
        BadRecord: the split has no judgments of that kind.
        BadFile: the folder is there, and is not to be replaced.
    """
    own = [task for task in dict.fromkeys(tasks) if task != RETRIEVAL]
    require_tasks(dataset, split, own)
    if RELEVANCE in own and judging is None:
        raise BadSetting("task relevance: expected a judge, found none. Give a reranker or an LLM.")
    chosen = settings or TaskSettings()
    askings = [
        Asking(encoder=model, dataset=dataset, split=split, settings=chosen, progress=progress)
        for model in models
        if model is not None
    ]
    reports = []
    with whole_folder(folder, replace=replace) as part:
        for task in own:
            found = _found(task, askings, judging)
            for name, scores in zip(("base", "tuned"), found, strict=False):
                _write(scores, part / name)
            last = found[-1]
            reports.append(TaskReport(task, compare_tasks(*found), last.facts, last.bands))
        facts = {
            "format": FORMAT,
            "dataset": dataset.digest,
            "split": split,
            "settings": asdict(chosen),
            "models": [asking.encoder.space.to_json() for asking in askings],
            "tasks": [asdict(report) for report in reports],
        }
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        (part / "tasks.json").write_text(text + "\n", encoding="utf-8")
    return tuple(reports)


def _found(
    task: str, askings: Sequence[Asking], judging: ListJudging | None
) -> Sequence[TaskScores]:
    if task == RELEVANCE and judging is not None:
        return judge_lists(askings, judging)
    return [
        evaluate_task(one.encoder, one.dataset, one.split, task, settings=one.settings,
                      progress=one.progress)
        for one in askings
    ]  # fmt: skip


def _write(found: TaskScores, folder: Path) -> None:
    if found.scores.values:
        write_scores(found.scores, folder / found.task)
        if found.beside is not None:
            found.beside(folder / found.task)
