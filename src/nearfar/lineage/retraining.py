"""Which models must be trained again once something is forgotten, and by which command."""

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nearfar.lineage.holdings import Holdings, Learned
from nearfar.lineage.workspace import Place, Workspace, digests_of, name_of, space_of
from nearfar.losses import LossSettings, RerankingLossSettings
from nearfar.training.settings import Training


@dataclass(frozen=True, slots=True)
class Retrain:
    """A model that learned from what is forgotten."""

    folder: Path
    space: str  # the fingerprint of it; of a reranker, its own
    how: str  # it came to learn from it
    command: str  # with NAMES IN CAPITALS for what is not known
    indexes: tuple[Path, ...]  # to be built again with the new model


def retraining(workspace: Workspace, found: Holdings) -> list[Retrain]:
    """Return the models that learned from what was found, those first that others are made of."""
    return [
        Retrain(
            folder=one.model.folder,
            space=name_of(one.model),
            how=one.how,
            command=_command(workspace, one),
            indexes=tuple(
                index.folder
                for index in found.indexes_of_models
                if space_of(index) == space_of(one.model)
            ),
        )
        for one in found.models
    ]


def _command(workspace: Workspace, learned: Learned) -> str:
    model = learned.model
    recipe = _recipe(workspace, model.folder)
    if recipe is not None:
        return f"nearfar run {shlex.quote(str(recipe))}"
    datasets = [workspace.dataset(digest) for digest in digests_of(model)]
    taught = datasets[0].folder if datasets and datasets[0] is not None else Path("DATASET")
    began = str(model.facts.get("base_space", ""))
    base = workspace.model(began, moved=True) or workspace.reranker(began)
    named = str(model.facts.get("base") or "BASE") if base is None else str(base.folder)
    words = ["nearfar", "train", str(taught), str(model.folder.parent), "--model", named]
    words += ["--cross-encoder"] if "reranker" in model.facts else []
    for change in _changes(model):
        words += ["--set", change]
    return shlex.join(words)


def _recipe(workspace: Workspace, model: Path) -> Path | None:
    """Return the recipe of the run that a model belongs to, if it lies in the workspace."""
    home = model.resolve().parent.parent
    return workspace.recipes.get(home.name) if (home / "run.json").is_file() else None


def _changes(model: Place) -> list[str]:
    loss = (model.facts.get("tasks") or [{}])[0].get("loss")
    training = _differing("training", model.facts.get("training"), asdict(Training()))
    if "reranker" in model.facts:
        return training + _differing("reranking_loss", loss, asdict(RerankingLossSettings()))
    return training + _differing("loss", loss, asdict(LossSettings()))


def _differing(table: str, settings: Any, defaults: dict[str, Any]) -> list[str]:
    if not isinstance(settings, dict):
        return []
    plain = json.loads(json.dumps(defaults))  # tuples are lists, as in the file
    return [
        f"{table}.{name}={json.dumps(value)}"
        for name, value in settings.items()
        if name in plain and value != plain[name] and not isinstance(value, dict)
    ]
