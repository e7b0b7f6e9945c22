"""One training, from the names of a model and a dataset: of an encoder, or of a cross-encoder."""

from dataclasses import replace
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.pipeline.dev_pairs import DevPairs, read_dev_pairs
from nearfar.pipeline.evaluating import dev_check
from nearfar.pipeline.recipe import FreeSettings
from nearfar.pipeline.tasks import reranking_tasks, tasks_of
from nearfar.training import ranks
from nearfar.training.train import Hooks, TrainingResult, train


def learn(
    base: str,
    dataset: Dataset,
    folder: Path,
    settings: FreeSettings,
    hooks: Hooks,
    *,
    max_tokens: int | None = None,
) -> TrainingResult:
    """Fine-tune an encoder into `folder/model`.

    Raises:
        BadModel, BadSetting, BadRecord, BadFile: see `TextEncoder.load` and `train`.
        Stopped: somebody asked for it; the same call goes on.
    """
    encoder = TextEncoder.load(base, TextSettings(max_tokens=max_tokens))
    hooks = replace(hooks, check=dev_check(dataset, settings.evaluation))
    return train(encoder, tasks_of(dataset, settings, Path()), folder, settings.training, hooks)


def learn_to_rerank(
    base: str,
    dataset: Dataset,
    folder: Path,
    settings: FreeSettings,
    hooks: Hooks,
    *,
    max_tokens: int | None = None,
) -> TrainingResult:
    """Fine-tune a cross-encoder into `folder/model`, and say what its logits are worth.

    An encoder gets a new head. With a dev split, `calibration.json` beside the weights turns
    logits into probabilities (`model.calibration.read_calibration`).

    Raises:
        BadModel, BadSetting, BadRecord, BadFile: see `CrossEncoder.load` and `train`.
        Stopped: somebody asked for it; the same call goes on.
    """
    chosen = CrossSettings(max_tokens=max_tokens, new_head=None, seed=settings.training.seed)
    model = CrossEncoder.load(base, chosen)
    pairs = read_dev_pairs(dataset, settings.evaluation)
    hooks = replace(hooks, check=None if pairs is None else pairs.check)
    found = train(model, reranking_tasks(dataset, settings), folder, settings.training, hooks)
    if pairs is not None and ranks.rank() == 0:
        _calibrate(pairs, model, found.model, hooks)
    return found


def _calibrate(pairs: DevPairs, model: CrossEncoder, folder: Path, hooks: Hooks) -> None:
    try:
        calibration = pairs.calibration(model)
    except BadRecord as error:  # the model is there all the same
        hooks.say(f"No calibration: {error}")
        return
    calibration.write(folder)
    hooks.say(calibration.summary())
