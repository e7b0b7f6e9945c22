"""Everything that changes as a run goes on: weights, temperatures, the optimiser's memory."""

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nearfar.model.microbatches import TOKENS_PER_CHUNK
from nearfar.model.text import TextEncoder
from nearfar.training import ranks
from nearfar.training.adapters import add_adapters, merge_adapters, save_adapters
from nearfar.training.batch import Batch
from nearfar.training.lesson import Learned
from nearfar.training.scale import Scale
from nearfar.training.settings import Training, learning_rate_at
from nearfar.training.sharding import put_weights, shard, weights_of
from nearfar.training.step import Step, dice_of, set_dropout
from nearfar.training.store import TokenStore
from nearfar.training.trainee import TaskLoss, Trainee, head_of, lesson_of

_TEMPERATURE_PACE = 100.0  # its logarithm moves this many times as fast as a weight


class Learner:
    """A model that learns."""

    def __init__(
        self, model: Trainee, losses: Sequence[TaskLoss], settings: Training, steps: int
    ) -> None:
        self.model, self.settings, self.steps = model, settings, steps
        model.thaw()
        set_dropout(model.network, settings.dropout)
        transformer = model.network.transformer
        if settings.lora is not None:
            with dice_of(settings.seed, 0):
                model.network.transformer = add_adapters(
                    transformer, settings.lora, whole=head_of(model)
                )
        if settings.gradient_checkpointing:
            _checkpointing(transformer, "enable")({"use_reentrant": False})
        if settings.compile:
            transformer.compile(dynamic=True)
        self._plain = model.network
        if settings.sharded and ranks.count() > 1:
            model.network = copy.deepcopy(model.network)
            shard(model.network)
        self.lessons = [lesson_of(model, loss) for loss in losses]
        found = [lesson.temperature for lesson in self.lessons]
        self.temperatures = [one for one in found if one is not None]
        self.all = nn.ModuleDict(
            {"network": model.network, "temperatures": nn.ModuleList(self.temperatures)}
        )
        self.optimiser = self._optimiser()
        self.scale = Scale(model.precision)

    def learn(
        self, step: int, place: tuple[int, int, int], batch: Batch, store: TokenStore
    ) -> Learned:
        """Add the gradient of one batch to that of the step.

        Args:
            step: of the run, from 0.
            place: which task the batch is of; which batch of the step it is, of how many.
            batch: the texts and what is known between them.
            store: of the task.
        """
        task, part, parts = place
        settings = self.settings
        self.model.network.train()
        return self.lessons[task].learn(
            batch,
            store,
            Step(
                seed=settings.seed,
                number=step * settings.batches_per_update + part,
                tokens_per_chunk=settings.tokens_per_chunk
                or TOKENS_PER_CHUNK[self.model.device.type],
                memory_bytes=settings.memory_mb * 2**20,
                sharded=settings.sharded,
                factor=self._factor,
            ),
            at=(step, self.steps),
            share=1 / parts,
        )

    def update(self, step: int) -> float:
        """Move the weights by the gradient of the step; return its Euclidean length."""
        groups = self.optimiser.param_groups
        weights = [weight for group in groups[:2] for weight in group["params"]]
        if not self.settings.sharded:
            ranks.add_up_gradients(weights)
        self.scale.undo(weights)
        length = nn.utils.clip_grad_norm_(weights, self.settings.gradient_clip, foreach=True)
        whole = float(ranks.whole(length))
        if not math.isfinite(whole):
            self.optimiser.zero_grad(set_to_none=True)
            return whole  # nothing was moved
        rate = learning_rate_at(step, self.steps, self.settings)
        for group, pace in zip(groups, (1, 1, _TEMPERATURE_PACE), strict=False):
            group["lr"] = rate * pace
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return whole

    def finish(self, adapters: Path) -> None:
        """Make the model a plain one again, with what it has learned; keep LoRA's matrices."""
        if self.model.network is not self._plain:
            put_weights(self._plain, weights_of(self.model.network))
            self.model.network = self._plain
        network = self.model.network
        if self.settings.gradient_checkpointing:
            _checkpointing(network.transformer, "disable")()
        if self.settings.lora is not None:
            if ranks.rank() == 0:
                save_adapters(network.transformer, adapters)
            network.transformer = merge_adapters(network.transformer)
        self.model.freeze()

    def clamp(self) -> bool | None:
        """Bring learned temperatures back into their ranges; return whether one was outside."""
        found = [one.clamp() for one in self.temperatures if one.learns]
        return any(found) if found else None

    def _factor(self, slopes: Tensor) -> float:
        # Sharded gradients come as a mean over processes; what is wanted is their sum.
        return self.scale.of(slopes) * (ranks.count() if self.settings.sharded else 1)

    def _optimiser(self) -> torch.optim.Optimizer:
        """Return AdamW; biases, the weights of layer norms and temperatures do not decay."""
        named = [
            (name, weight)
            for name, weight in self.model.network.named_parameters()
            if weight.requires_grad and not _is_unused(self.model, name)
        ]
        settings = self.settings
        groups = [
            {"params": [w for _, w in named if w.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [w for _, w in named if w.ndim <= 1], "weight_decay": 0.0},
        ]
        if learned := [one.log_scale for one in self.temperatures if one.learns]:
            groups.append({"params": learned, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _is_unused(model: Trainee, name: str) -> bool:
    # A pooler of its own gives an encoder no vector; the head of a reranker stands on it.
    return ".pooler." in name and isinstance(model, TextEncoder)


def _checkpointing(transformer: nn.Module, what: str) -> Callable[..., object]:
    """Return the switch of a transformer, by the name that its library has for it."""
    names = f"activation_checkpointing_{what}", f"gradient_checkpointing_{what}"  # before 5.23
    found = next(name for name in names if hasattr(transformer, name))
    switch: Callable[..., object] = getattr(transformer, found)
    return switch
