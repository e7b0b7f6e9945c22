"""One training with its check on dev: of an encoder, or of a reranker."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadRecord
from nearfar.model.calibration import FILE, Calibration, read_calibration
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.reranker import Reranker
from nearfar.model.text import TextEncoder
from nearfar.model.yes_no import YesNoReranker
from nearfar.pipeline.dev_pairs import DevPairs, read_dev_pairs
from nearfar.pipeline.evaluating import dev_check
from nearfar.pipeline.recipe import FreeSettings
from nearfar.pipeline.tasks import reranking_tasks, tasks_of
from nearfar.training import ranks
from nearfar.training.train import Hooks, TrainingResult, train


def learn(
    encoder: TextEncoder, dataset: Dataset, folder: Path, settings: FreeSettings, hooks: Hooks
) -> TrainingResult:
    """Fine-tune an encoder into `folder/model`, checked on dev.

    Raises:
        BadSetting, BadRecord, BadFile, Stopped: see `train`.
    """
    hooks = replace(hooks, check=dev_check(dataset, settings.evaluation))
    return train(encoder, tasks_of(dataset, settings, Path()), folder, settings.training, hooks)


def learn_to_rerank(
    model: CrossEncoder | YesNoReranker,
    dataset: Dataset,
    folder: Path,
    settings: FreeSettings,
    hooks: Hooks,
) -> TrainingResult:
    """Fine-tune a reranker into `folder/model`, and say what its logits are worth.

    With a dev split, `calibration.json` beside the weights turns logits into probabilities
    (`model.calibration.read_calibration`).

    Raises:
        BadSetting, BadRecord, BadFile, Stopped: see `train`.
    """
    with ranks.together(model.device):
        pairs = read_dev_pairs(dataset, settings.evaluation)
        check = None if pairs is None else pairs.check
        hooks = replace(hooks, check=check, base_counts=not model.drawn)
        if ranks.rank() == 0:
            _tell(model, pairs, hooks)
        found = train(model, reranking_tasks(dataset, settings), folder, settings.training, hooks)
        if pairs is not None and ranks.rank() == 0:
            _calibrate(pairs, model, found.model, hooks)
    return found


def calibration_beside(
    folder: Path, reranker: Reranker, say: Callable[[str], None]
) -> Calibration | None:
    """Return what was fitted for a reranker, if it lies in its folder and is of this very one."""
    if not (folder / FILE).is_file():
        return None
    try:
        return read_calibration(folder, reranker=reranker.fingerprint)
    except BadModel as error:
        say(f"Not used: {error}")
        return None


def _tell(model: CrossEncoder | YesNoReranker, pairs: DevPairs | None, hooks: Hooks) -> None:
    if model.drawn:
        hooks.say("The model has no head that says one number, so a new one was drawn.")
    if isinstance(model, YesNoReranker):
        asked = model.prompt
        hooks.say(f"The model is asked {asked.template!r}, to say {asked.yes!r} or {asked.no!r}.")
    if pairs is None:
        hooks.say("No dev split: the last weights are kept, not the best, without a calibration.")


def _calibrate(pairs: DevPairs, model: Reranker, folder: Path, hooks: Hooks) -> None:
    try:
        calibration = pairs.calibration(model)
    except BadRecord as error:  # the model is there all the same
        hooks.say(f"No calibration: {error}")
        return
    calibration.write(folder)
    hooks.say(calibration.summary())
