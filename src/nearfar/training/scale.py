"""By how much gradients are multiplied so that float16 can hold them, and how that is undone.

Float16 has no numbers between 0 and 6e-8, and none above 65,504. The slopes at the vectors are
known before anything flows back through the encoder, so the factor is a function of the step
alone, with nothing to be remembered between steps: their largest becomes about 1. Where that
was too much, the step is done again with less.

Source: Micikevicius et al. 2018, arXiv:1710.03740, sec. 3.2 (loss scaling).
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

_BITS_LESS = (0, 6, 12)  # of the factor, each time the step is done again


class Scale:
    """The factor of one step: that of its first batch, so that gradients can be added up."""

    def __init__(self, precision: torch.dtype) -> None:
        self.tries = _BITS_LESS if precision == torch.float16 else (0,)
        self.factor = 1.0
        self._bits: int | None = None

    def begin(self, bits_less: int) -> None:
        """Begin a step, or begin it again with some bits less."""
        self.factor, self._bits = 1.0, None if len(self.tries) == 1 else bits_less

    def of(self, slopes: Tensor) -> float:
        """Return the factor, a power of two, so that multiplying and dividing lose nothing."""
        if self._bits is not None:
            top = float(slopes.abs().max())
            if 0 < top < math.inf:
                self.factor = 2.0 ** (-math.ceil(math.log2(top)) - self._bits)
            self._bits = None
        return self.factor

    def undo(self, weights: Iterable[Tensor]) -> None:
        """Divide all gradients by the factor."""
        if self.factor != 1:
            for weight in weights:
                if weight.grad is not None:
                    weight.grad.div_(self.factor)
