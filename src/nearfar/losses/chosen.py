"""Which loss a run learns by, and what stands around it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.losses.around import layered, matryoshka, quantised, without_false_negatives
from nearfar.losses.checks import require, require_one_of
from nearfar.losses.edges import Edges
from nearfar.losses.named import LOSSES
from nearfar.losses.options import require_options
from nearfar.losses.spread import spread_out

ChosenLoss = Callable[[Tensor, Tensor, Edges, float | Tensor], Tensor]
_SET_ELSEWHERE = ("temperature", "prefixes")


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """What is to fall."""

    name: str = "infonce"
    temperature: float = 0.05  # above 0; libraries that say "scale" mean 1 / temperature
    temperature_at_end: float | None = None  # it moves there evenly over the run
    learn_temperature: bool = False  # begins at `temperature`, stays within the two below
    least_temperature: float = 0.01  # a scale of 100, where CLIP clamps too
    highest_temperature: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)  # of the loss
    matryoshka: tuple[int, ...] = ()  # the mean over these first dimensions
    layers: tuple[int, ...] = ()  # the mean over these layers and the last (2-D Matryoshka)
    quantisation: str | None = None  # the mean of float and "int8" or "binary"
    false_negatives: str | None = None  # left out by cosines of a "teacher" or of "itself"
    false_negative_margin: float = 0.0  # below the answer's cosine; see without_false_negatives
    false_negative_margin_relative: bool = False
    spread_weight: float = 0.0  # of the spread-out regulariser beside the loss

    def __post_init__(self) -> None:
        require_one_of("name", self.name, tuple(LOSSES))
        require(self.temperature > 0, "temperature", "above 0", self.temperature)
        end = self.temperature_at_end
        require(end is None or end > 0, "temperature_at_end", "above 0", end)
        low, high = self.least_temperature, self.highest_temperature
        require(0 < low < high, "least_temperature", "above 0, below highest_temperature", low)
        if self.learn_temperature:
            within = low <= self.temperature <= high
            require(within, "temperature", f"{low} to {high} to be learned", self.temperature)
            require(end is None, "temperature_at_end", "left out when it is learned", end)
        require(self.spread_weight >= 0, "spread_weight", "0 or more", self.spread_weight)
        require_options(
            self.name, LOSSES[self.name], self.options, trial=_trial(),
            set_elsewhere=_SET_ELSEWHERE,
        )  # fmt: skip
        build_loss(self)  # whatever stands around it checks its own options


def build_loss(settings: LossSettings) -> ChosenLoss:
    """Return the loss with all that stands around it, as (queries, documents, edges, temperature).

    Raises:
        BadSetting: an option is out of its range.
    """
    loss: Callable[..., Tensor] = partial(LOSSES[settings.name], **settings.options)
    if settings.matryoshka:
        loss = matryoshka(loss, settings.matryoshka)
    if settings.quantisation is not None:
        loss = quantised(loss, settings.quantisation)
    if settings.false_negatives is not None:
        loss = without_false_negatives(
            loss, by=settings.false_negatives, margin=settings.false_negative_margin,
            relative=settings.false_negative_margin_relative,
        )  # fmt: skip
    if settings.layers:
        loss = layered(loss, len(settings.layers) + 1)

    heated = takes_temperature(settings.name)

    def chosen(
        queries: Tensor, documents: Tensor, edges: Edges, temperature: float | Tensor
    ) -> Tensor:
        options = {"temperature": temperature} if heated else {}
        value = loss(queries, documents, edges, **options)
        if settings.spread_weight:
            value = value + settings.spread_weight * spread_out(queries, documents, edges)
        return value

    return chosen


@functools.cache
def takes_temperature(name: str) -> bool:
    """Return whether a loss divides its similarities by a temperature."""
    return "temperature" in inspect.signature(LOSSES[name]).parameters


def _trial() -> tuple[Tensor, Tensor, Edges]:
    """Return two pairs on which each loss can check its own options."""
    eye, both = torch.eye(2), torch.arange(2)
    zeros = torch.zeros(2)
    edges = Edges(
        torch.cat([both, both]), torch.cat([both, both.flip(0)]), torch.cat([zeros + 1, zeros]),
        score=torch.arange(4.0), teacher=(eye, eye),
    )  # fmt: skip
    return eye, eye, edges
