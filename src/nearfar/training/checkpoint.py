"""Where a run can go on: all that the next step depends on, whole on disk or not there.

The order of the pairs, the learning rate and the dice are functions of the step, so a
checkpoint holds only the weights, the optimiser's memory, and what was best so far.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from nearfar.errors import BadFile, said
from nearfar.files import whole_file, whole_folder
from nearfar.training import ranks
from nearfar.training.sharding import is_sharded, memory_of, put_memory, put_weights, weights_of

_KEPT = "checkpoint-"
_BEST = "best-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How far a run has come."""

    run: str  # fingerprint of everything the run depends on
    step: int  # steps done
    best_step: int | None = None
    best_score: float | None = None


def save_checkpoint(
    folder: Path, state: Progressed, network: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Keep the state after a step, then let go of older ones; every process must ask."""
    place = folder / f"{_KEPT}{state.step:08d}"
    new = ranks.rank() == 0 and not place.exists()
    if new or is_sharded(network):  # of which every process gives its part
        weights, memory = weights_of(network), memory_of(optimiser)
    if ranks.rank() > 0:
        return
    if new:
        with said_if_it_cannot_be_written(place), whole_folder(place) as part:
            save_file(weights, part / "weights.safetensors")
            torch.save(memory, part / "optimiser.pt")
            (part / "state.json").write_text(json.dumps(asdict(state), indent=2) + "\n")
    _forget(folder, {place, best_path(folder, state.best_step)})


def last_checkpoint(folder: Path) -> Progressed | None:
    """Return how far a run has come, or None if it never kept a checkpoint.

    Raises:
        BadFile: the checkpoint is damaged.
    """
    places = sorted(folder.glob(f"{_KEPT}*"))
    if not places:
        return None
    try:
        return Progressed(**json.loads((places[-1] / "state.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(
            f"{places[-1]}: expected a checkpoint, but its state.json cannot be read ({error}). "
            "Remove this folder to begin the run anew."
        ) from error


def load_checkpoint(
    folder: Path, state: Progressed, network: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Put back the weights and the optimiser's memory of a kept state."""
    place = folder / f"{_KEPT}{state.step:08d}"
    load_weights(network, place / "weights.safetensors")
    put_memory(optimiser, torch.load(place / "optimiser.pt", weights_only=True))


def forget(folder: Path) -> None:
    """Let go of everything kept for going on: the run has come to its end."""
    if ranks.rank() == 0:
        _forget(folder, set())


def _forget(folder: Path, kept: set[Path | None]) -> None:
    for old in [*folder.glob(f"{_KEPT}*"), *folder.glob(f"{_BEST}*")]:
        if old in kept:
            continue
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink()


def best_path(folder: Path, step: int | None) -> Path | None:
    """Return where the best weights lie, if they were those after this step."""
    return None if step is None else folder / f"{_BEST}{step:08d}.safetensors"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write all weights of a network, whole or not at all; every process must ask."""
    if ranks.rank() == 0 or is_sharded(network):
        state = weights_of(network)
    if ranks.rank() > 0:
        return
    with said_if_it_cannot_be_written(path), whole_file(path) as part:
        save_file(state, part)


@contextmanager
def said_if_it_cannot_be_written(path: Path) -> Iterator[None]:
    """Turn what the writers of tensors raise on a full disk into one message.

    Raises:
        BadFile: the file could not be written; what was kept before still is.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise BadFile(
            f"{path}: expected room to write it, but writing failed ({said(error)}). Make room "
            "or name another disk; the same command goes on from the last checkpoint."
        ) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights of a file into a network of the same shape."""
    put_weights(network, load_file(path))
