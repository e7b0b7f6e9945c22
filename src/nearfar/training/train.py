"""The training run: batches in order, one step each, checks on dev, the best weights kept.

folder/tokens-.../           the token store
folder/log.jsonl             a line a step, a line a check
folder/checkpoint-000120/    where the run goes on after a stop or a crash
folder/best-000120.safetensors
folder/model/                the result: a sentence-transformers folder
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, Diverged, Stopped
from nearfar.files import whole_folder
from nearfar.fingerprint import fingerprint
from nearfar.model.text import TextEncoder
from nearfar.progress import Progress, silent
from nearfar.training import checkpoint, log
from nearfar.training.batch import Batches
from nearfar.training.checkpoint import Progressed
from nearfar.training.memory import give_back_memory
from nearfar.training.settings import LossSettings, Training, learning_rate_at
from nearfar.training.step import batch_loss, dice_of, set_dropout
from nearfar.training.store import TokenStore, open_store

_STEPS_BETWEEN_TRIMS = 8  # every step would cost several percent of its time

Check = Callable[[TextEncoder], Mapping[str, float]]  # its first score says which weights are best


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run calls: all of it may be left out."""

    check: Check | None = None
    progress: Progress = silent
    stop: Callable[[], bool] = field(default=lambda: False)  # asked after each step


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came out."""

    model: Path
    steps: int
    best_step: int  # 0: the base was never beaten
    truncated: Mapping[str, int]  # training texts cut at the model's length, by role


def train(
    encoder: TextEncoder,
    dataset: Dataset,
    folder: Path,
    settings: Training,
    loss: LossSettings,
    hooks: Hooks | None = None,
) -> TrainingResult:
    """Fine-tune an encoder on the train split, and keep the result in `folder/model`.

    The run is a function of the encoder, the dataset and the settings: stopped at any step and
    called again, it ends with the same weights (same machine, same number of threads).

    Raises:
        BadRecord: the train split has nothing to learn from.
        BadFile: the folder holds another run, or a damaged one.
        Diverged: the loss or the gradient is no longer a number.
        Stopped: `hooks.stop` said so; a checkpoint was taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(folder, dataset, encoder.tokens, progress=(hooks or Hooks()).progress)
    run = _Run(encoder, store, folder, settings, loss, hooks or Hooks())
    run.begin(dataset)
    while run.state.step < run.steps:
        run.step()
    return run.end()


class _Run:
    """The state of a run, and what is done with it step by step."""

    def __init__(
        self,
        encoder: TextEncoder,
        store: TokenStore,
        folder: Path,
        settings: Training,
        loss: LossSettings,
        hooks: Hooks,
    ) -> None:
        self.encoder, self.store, self.folder = encoder, store, folder
        self.settings, self.loss, self.hooks = settings, loss, hooks
        self.batches = Batches(store, settings)
        self.steps = self.batches.steps
        self.log = folder / "log.jsonl"
        self.optimiser = _optimiser(encoder, settings)
        self.state = Progressed(run="", step=0)
        self.base = encoder.space.fingerprint
        self.dataset = ""

    def begin(self, dataset: Dataset) -> None:
        """Go on from the last checkpoint, or measure the base and take the first one."""
        self.dataset = dataset.digest
        run = fingerprint(
            {
                "dataset": dataset.digest,
                "space": self.base,
                "training": asdict(self.settings),
                "loss": asdict(self.loss),
                "precision": str(self.encoder.precision),
            }
        )
        self.state = Progressed(run=run, step=0)
        found = checkpoint.last_checkpoint(self.folder)
        if found is not None and found.run != run:
            raise BadFile(
                f"{self.folder}: expected the checkpoint of this run ({run}), found one of "
                f"{found.run}: its data, base model or settings were others. Name another "
                "folder, or remove this one."
            )
        set_dropout(self.encoder.network, self.settings.dropout)
        self.encoder.thaw()
        if found is None:
            log.cut_after(self.log, -1)
            self.check()
            return
        self.state = found
        log.cut_after(self.log, found.step)
        checkpoint.load_checkpoint(self.folder, found, self.encoder.network, self.optimiser)

    def step(self) -> None:
        """Take one step; check, keep and stop where it is time to."""
        began = time.perf_counter()
        step, network = self.state.step, self.encoder.network
        batch = self.batches[step]
        rate = learning_rate_at(step, self.steps, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        network.train()
        with dice_of(self.settings.seed, step):
            value = batch_loss(
                self.encoder, self.store, batch, self.loss, self.settings.tokens_per_chunk
            )
        value.backward()  # type: ignore[no-untyped-call]
        length = torch.nn.utils.clip_grad_norm_(
            network.parameters(), self.settings.gradient_clip, foreach=True
        ).item()
        self._require_numbers(step, value.item(), length, rate)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.state = replace(self.state, step=step + 1)

        seconds = time.perf_counter() - began
        tokens = int(self.store.lengths[batch.texts].sum())
        row = {
            "kind": "step",
            "step": step + 1,
            "loss": value.item(),
            "learning_rate": rate,
            "gradient_length": length,
            "pairs_per_second": batch.pairs / seconds,
            "tokens_per_second": tokens / seconds,
            "texts": len(batch.texts),
        }
        log.append(self.log, row)
        note = (
            f"loss {value.item():.3f} · {batch.pairs / seconds:,.0f} pairs/s · "
            f"{tokens / seconds:,.0f} tokens/s"
        )
        self.hooks.progress("training", step + 1, self.steps, note)
        if self.state.step % _STEPS_BETWEEN_TRIMS == 0:
            give_back_memory()
        self._after_step()

    def _after_step(self) -> None:
        step = self.state.step
        if step % self.settings.check_every(self.steps) == 0 or step == self.steps:
            self.check()
        elif self.hooks.stop():
            self.keep()
        if self.hooks.stop() and step < self.steps:
            raise Stopped(
                f"Stopped after step {step} of {self.steps}; everything is kept in "
                f"{self.folder}. The same command goes on from there."
            )

    def check(self) -> None:
        """Measure dev, remember the best weights, take a checkpoint."""
        if self.hooks.check is not None:
            scores = dict(self.hooks.check(self.encoder))
            log.append(self.log, {"kind": "dev", "step": self.state.step, **scores})
            score = next(iter(scores.values()))
            if self.state.best_score is None or score > self.state.best_score:
                self.state = replace(self.state, best_step=self.state.step, best_score=score)
                best = checkpoint.best_path(self.folder, self.state.step)
                assert best is not None
                checkpoint.save_weights(self.encoder.network, best)
        self.keep()

    def keep(self) -> None:
        """Take a checkpoint."""
        checkpoint.save_checkpoint(self.folder, self.state, self.encoder.network, self.optimiser)

    def end(self) -> TrainingResult:
        """Save the best weights as a model; the encoder holds them too."""
        best = checkpoint.best_path(self.folder, self.state.best_step)
        if best is not None:
            checkpoint.load_weights(self.encoder.network, best)
        self.encoder.freeze()
        model = self.folder / "model"
        with (
            checkpoint.said_if_it_cannot_be_written(model),
            whole_folder(model, replace=True) as part,
        ):
            self.encoder.save(part)
            (part / "nearfar.json").write_text(json.dumps(self._lineage(), indent=2) + "\n")
        checkpoint.forget(self.folder)
        step = self.state.best_step
        return TrainingResult(
            model, self.steps, self.steps if step is None else step, self.store.truncated
        )

    def _lineage(self) -> dict[str, Any]:
        """Say in the model's own folder where it came from."""
        return {
            "space": self.encoder.space.to_json(),
            "base_space": self.base,
            "dataset": self.dataset,
            "training": asdict(self.settings),
            "loss": asdict(self.loss),
            "steps": self.steps,
            "best_step": self.state.best_step,
            "best_score_on_dev": self.state.best_score,
        }

    def _require_numbers(self, step: int, loss: float, length: float, rate: float) -> None:
        if math.isfinite(loss) and math.isfinite(length):
            return
        raise Diverged(
            f"Expected a loss and a gradient that are numbers, found loss {loss} and gradient "
            f"length {length} at step {step + 1} of {self.steps} with learning rate {rate:.2g}. "
            "Lower training.learning_rate, or raise loss.temperature; the weights before this "
            f"step are kept in {self.folder}."
        )


def _optimiser(encoder: TextEncoder, settings: Training) -> torch.optim.Optimizer:
    """Return AdamW; biases and the weights of layer norms do not decay."""
    named = [(n, w) for n, w in encoder.network.named_parameters() if ".pooler." not in n]
    groups = [
        {"params": [w for _, w in named if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for _, w in named if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
