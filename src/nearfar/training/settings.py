"""The numbers a training run depends on."""

import math
from dataclasses import dataclass
from typing import Literal

from nearfar.errors import require

Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Small matrices beside the frozen ones of the model learn instead (needs nearfar[lora])."""

    rank: int = 16
    alpha: int = 32  # what they add is multiplied by alpha / rank
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)  # names of layers, as PEFT takes them

    def __post_init__(self) -> None:
        require(self.rank > 0, "training.lora.rank", "above 0", self.rank)
        require(self.alpha > 0, "training.lora.alpha", "above 0", self.alpha)
        require(0 <= self.dropout < 1, "training.lora.dropout", "0 to below 1", self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the weights move."""

    epochs: float = 1.0  # passes over the training pairs
    max_steps: int | None = None  # stop there even if the passes are not over
    pairs_per_step: int = 64  # the number of negatives depends on it
    # Judged ones that join with it. None: as many as there are up to 1, for a reranker up to 4.
    negatives_per_pair: int | None = None
    # Documents of other queries of the batch that a reranker reads with each query, as wrong
    # answers. None: as many as make 4 wrong answers with the judged ones.
    strangers_per_query: int | None = None
    negatives_order: Literal["any", "easy to hard"] = "any"  # as time goes
    learning_rate: float = 5e-5  # at its highest
    warmup_share: float = 0.1  # of all steps, over which the learning rate rises
    schedule: Schedule = "linear"  # how it falls after that: linear or cosine to 0, or not
    weight_decay: float = 0.01
    gradient_clip: float = 1.0  # longest gradient, in Euclidean length
    dropout: float | None = 0.0  # None: as in the checkpoint. 0 is exact and about 1.2 x faster
    queries_per_document: int = 1  # that come into a batch together; it is encoded once for all
    together_by: str | None = None  # a field of queries: a batch holds those of one value only
    batches_per_update: int = 1  # whose gradients are averaged; not the same as a bigger batch
    tokens_per_chunk: int | None = None  # computed at once; None: 2,048 on a CPU, 65,536 on a GPU
    memory_mb: int = 2_048  # for what is kept until the backward pass; less is slower, not worse
    gradient_checkpointing: bool = False  # layers are computed twice, for less memory a chunk
    compile: bool = False  # by torch.compile: minutes at first, faster on a GPU after that
    sharded: bool = False  # each process holds a part of the weights (FSDP2)
    lora: Lora | None = None
    trackers: tuple[str, ...] = ()  # tensorboard, wandb, mlflow (need nearfar[trackers])
    checks: int = 5  # how often, evenly, dev is measured and a checkpoint taken
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "pairs_per_step", "learning_rate", "gradient_clip",
                     "queries_per_document", "batches_per_update", "memory_mb",
                     "checks"):  # fmt: skip
            require(getattr(self, name) > 0, f"training.{name}", "above 0", getattr(self, name))
        for name in ("tokens_per_chunk", "max_steps"):
            found = getattr(self, name)
            require(found is None or found > 0, f"training.{name}", "above 0", found)
        for name in ("negatives_per_pair", "strangers_per_query"):
            found = getattr(self, name)
            require(found is None or found >= 0, f"training.{name}", "0 or more", found)
        require(self.negatives_order in ("any", "easy to hard"), "training.negatives_order",
                 "any or easy to hard", self.negatives_order)  # fmt: skip
        for name in ("weight_decay", "seed"):
            require(getattr(self, name) >= 0, f"training.{name}", "0 or more", getattr(self, name))
        require(self.pairs_per_step > 1, "training.pairs_per_step", "2 or more (the other pairs "
                 "are the negatives)", self.pairs_per_step)  # fmt: skip
        require(0 <= self.warmup_share < 1, "training.warmup_share", "0 to below 1",
                 self.warmup_share)  # fmt: skip
        require(self.dropout is None or 0 <= self.dropout < 1, "training.dropout",
                 "0 to below 1", self.dropout)  # fmt: skip
        require(self.schedule in ("linear", "cosine", "constant"), "training.schedule",
                 "linear, cosine or constant", self.schedule)  # fmt: skip

    def steps(self, pairs: int, size: int, steps_of_a_pass: int) -> int:
        """Return how many batches a run over that many pairs has.

        Args:
            pairs: to be learned.
            size: pairs of a batch.
            steps_of_a_pass: more than pairs / size where batches hold pairs of one group.
        """
        passed = max(pairs / size, steps_of_a_pass)
        return max(round(self.epochs * passed), 1)

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
