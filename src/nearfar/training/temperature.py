"""The temperature of a loss as the run goes on: fixed, moving to an end, or learned."""

import math

import torch
from torch import Tensor, nn

from nearfar.losses.chosen import LossSettings


class Temperature(nn.Module):
    """What the similarities are divided by at each step.

    Learned is the log of 1 / temperature, as in CLIP (Radford et al. 2021, arXiv:2103.00020,
    sec. 2.5), so that equal steps are equal factors.
    """

    def __init__(self, settings: LossSettings) -> None:
        super().__init__()
        self.settings = settings
        scale = torch.tensor(-math.log(settings.temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=settings.learn_temperature)

    @property
    def learns(self) -> bool:
        """Whether it moves with the weights."""
        return self.log_scale.requires_grad

    def at(self, step: int, steps: int) -> float | Tensor:
        """Return the temperature of a step, counted from 0; a tensor if it learns."""
        if self.learns:
            return torch.exp(-self.log_scale)
        begin, end = self.settings.temperature, self.settings.temperature_at_end
        if end is None or steps == 1:
            return begin
        return begin + (end - begin) * step / (steps - 1)

    @torch.no_grad()
    def clamp(self) -> bool:
        """Bring a learned temperature back between its ends; return whether it was outside."""
        low = -math.log(self.settings.highest_temperature)
        high = -math.log(self.settings.least_temperature)
        outside = not low < self.log_scale.item() < high
        self.log_scale.clamp_(low, high)
        return outside
