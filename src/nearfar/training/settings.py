"""The numbers a training run depends on."""

import math
from dataclasses import dataclass
from typing import Literal

from nearfar.errors import BadSetting
from nearfar.losses import LOSSES

Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """What is to fall."""

    name: str = "infonce"
    temperature: float = 0.05  # above 0; libraries that say "scale" mean 1 / temperature

    def __post_init__(self) -> None:
        _require(self.name in LOSSES, "loss.name", f"one of {', '.join(LOSSES)}", self.name)
        _require(self.temperature > 0, "loss.temperature", "above 0", self.temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the weights move."""

    epochs: float = 1.0  # passes over the training pairs
    max_steps: int | None = None  # stop there even if the passes are not over
    pairs_per_step: int = 64  # the number of negatives depends on it
    negatives_per_pair: int = 0  # judged or mined negatives that join the batch with a pair
    learning_rate: float = 5e-5  # at its highest
    warmup_share: float = 0.1  # of all steps, over which the learning rate rises
    schedule: Schedule = "linear"  # how it falls after that: linear or cosine to 0, or not
    weight_decay: float = 0.01
    gradient_clip: float = 1.0  # longest gradient, in Euclidean length
    dropout: float | None = 0.0  # None: as in the checkpoint. 0 is exact and about 1.2 x faster
    tokens_per_chunk: int = 2_048  # computed at once, padding included; no number depends on it
    checks: int = 5  # how often, evenly, dev is measured and a checkpoint taken
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "pairs_per_step", "learning_rate", "gradient_clip",
                     "tokens_per_chunk", "checks"):  # fmt: skip
            _require(getattr(self, name) > 0, f"training.{name}", "above 0", getattr(self, name))
        for name in ("negatives_per_pair", "weight_decay", "seed"):
            _require(getattr(self, name) >= 0, f"training.{name}", "0 or more", getattr(self, name))
        _require(self.pairs_per_step > 1, "training.pairs_per_step", "2 or more (the other pairs "
                 "are the negatives)", self.pairs_per_step)  # fmt: skip
        _require(0 <= self.warmup_share < 1, "training.warmup_share", "0 to below 1",
                 self.warmup_share)  # fmt: skip
        _require(self.dropout is None or 0 <= self.dropout < 1, "training.dropout",
                 "0 to below 1", self.dropout)  # fmt: skip
        _require(self.max_steps is None or self.max_steps > 0, "training.max_steps", "above 0",
                 self.max_steps)  # fmt: skip
        _require(self.schedule in ("linear", "cosine", "constant"), "training.schedule",
                 "linear, cosine or constant", self.schedule)  # fmt: skip

    def steps(self, pairs: int) -> int:
        """Return how many steps a run over that many training pairs has."""
        steps = max(round(self.epochs * pairs / min(self.pairs_per_step, pairs)), 1)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def check_every(self, steps: int) -> int:
        """Return after how many steps dev is measured and a checkpoint taken."""
        return max(math.ceil(steps / self.checks), 1)


def learning_rate_at(step: int, steps: int, settings: Training) -> float:
    """Return the learning rate of a step, counted from 0.

    It rises evenly over the first `warmup_share` of the steps and then falls to 0.

    >>> [learning_rate_at(s, 4, Training(learning_rate=1, warmup_share=0.5)) for s in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warmup = math.ceil(settings.warmup_share * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    rest = (step - warmup) / max(steps - warmup, 1)  # 0 to below 1
    if settings.schedule == "linear":
        return settings.learning_rate * (1 - rest)
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * rest)) / 2
    return settings.learning_rate


def _require(holds: bool, key: str, expected: str, found: object) -> None:
    if not holds:
        raise BadSetting(f"{key} must be {expected}, got {found!r}.")
