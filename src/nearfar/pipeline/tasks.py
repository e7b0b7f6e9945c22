"""What a recipe's run learns from, and whom its miner asks."""

from dataclasses import replace
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.mining.judges import Judges
from nearfar.model.rerankers import load_reranker
from nearfar.model.text import TextEncoder
from nearfar.pipeline.recipe import Distillation, FreeSettings, Recipe
from nearfar.training.course import Task


def tasks_of(dataset: Dataset, settings: FreeSettings, folder: Path) -> list[Task]:
    """Return the tasks of a run, the recipe's own first.

    Args:
        dataset: the recipe's own, with mined negatives if there are any.
        settings: of the recipe.
        folder: from where the folders of other datasets are seen.

    Raises:
        BadFile: a dataset is missing or damaged.
        BadModel: the teacher cannot be loaded.
    """
    chosen = settings.teacher
    teacher = None if chosen is None else TextEncoder.load(chosen.base, chosen)
    own = Task(dataset=dataset, loss=settings.loss, teacher=teacher)
    others = [
        Task(
            dataset=Dataset.open(folder / also.dataset),
            loss=also.loss,
            weight=also.weight,
            pairs_per_step=also.pairs_per_step,
            query_prompt=also.query_prompt,
            document_prompt=also.document_prompt,
            teacher=teacher,
        )
        for also in settings.also
    ]
    return [own, *others]


def distilling_tasks(
    dataset: Dataset, recipe: Recipe, chosen: Distillation, folder: Path
) -> list[Task]:
    """Return what an encoder learns from a dataset with a teacher's scores.

    Beside the scores, if anything else: the recipe's own loss, and its other datasets.
    """
    scores = Task(dataset=dataset, loss=chosen.loss)
    if not chosen.contrastive_weight:
        return [scores]
    own, *others = tasks_of(dataset, recipe, folder)
    return [scores, replace(own, of_first=chosen.contrastive_weight), *others]


def reranking_tasks(dataset: Dataset, settings: FreeSettings) -> list[Task]:
    """Return what a cross-encoder learns from."""
    return [Task(dataset=dataset, loss=settings.reranking_loss)]


def judges_of(settings: FreeSettings) -> Judges:
    """Return the better models that a miner may ask.

    Raises:
        BadModel: one of them cannot be loaded.
    """
    guide, reranker = settings.guide, settings.reranker
    return Judges(
        guide=None if guide is None else TextEncoder.load(guide.base, guide),
        teacher=None if reranker is None else load_reranker(reranker.base, reranker),
    )
