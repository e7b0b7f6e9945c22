"""Runs a model on a task under `mteb`, and files the results as `mteb` does.

results/<organisation>__<model>/<revision>/<Task>.json and, beside it, model_meta.json
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.errors import BadFile, said
from nearfar.interop.mteb_models import require_mteb

if TYPE_CHECKING:
    from mteb.cache import ResultCache


@dataclass(frozen=True, slots=True)
class Filed:
    """What a model got on a task, and where it is written."""

    path: Path  # of the task's file
    dataset_revision: str
    scores: Mapping[str, Mapping[str, Any]]  # by subset, in the order of the task


def evaluate_under_mteb(model: Any, task: Any, folder: Path) -> Filed:
    """Measure a model on a task of one split; what is filed already for both is not done again.

    Args:
        model: one of ours, or any other that `mteb` takes.
        task: one of ours, or any other of one split.
        folder: where `results` stands, or will stand.

    Raises:
        BadFile: results that stand there already cannot be read.
        BadSetting: `mteb` is not installed.
    """
    require_mteb()
    import mteb
    from mteb.cache import ResultCache

    meta = model.mteb_model_meta  # which may refuse its name, before the cache makes its folder
    cache = ResultCache(folder)
    path = cache.get_task_result_path(task.metadata.name, meta)
    # What is filed for every subset is taken as it is by `mteb`, also if the data changed since.
    same = _dataset_revision(cache, task.metadata.name, meta, path) == task.metadata.revision
    (result,) = mteb.evaluate(
        model,
        task,
        cache=cache,
        co2_tracker=False,
        overwrite_strategy="only-missing" if same else "always",
        show_progress_bar=False,
    ).task_results
    (split,) = task.eval_splits
    by_subset = {str(row["hf_subset"]): row for row in result.scores[split]}
    return Filed(
        path=path,
        dataset_revision=str(result.dataset_revision),
        scores={subset: by_subset[subset] for subset in task.hf_subsets},
    )


def _dataset_revision(cache: "ResultCache", task: str, meta: Any, path: Path) -> str | None:
    try:
        known = cache.load_task_result(task, meta)
    except (OSError, ValueError, KeyError) as error:
        raise BadFile(
            f"{path}: expected results of mteb, and they cannot be read ({said(error)}). "
            "Remove the file, and the task is measured again."
        ) from error
    return None if known is None else str(known.dataset_revision)
