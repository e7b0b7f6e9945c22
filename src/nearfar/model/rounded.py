"""A copy of a network in fewer bits, to look through while the weights stay as they are.

Under autocast each layer rounds its input and the next one widens it again, and all between the
products (norms, sums, activations) is done in 32 bits. A rounded copy does everything in 16.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from nearfar.model.pair_network import Float32Linear
from nearfar.model.precision import without_gradients
from nearfar.model.weights import weights_state
from nearfar.vectors.products import fast_products

_MOST_WEIGHTS = 500_000_000  # of larger ones a second copy would not fit where the first just does


class Rounded:
    """The copy of a network, as long as its weights are the same."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], nn.Module] | None = None

    def of(self, network: nn.Module, precision: torch.dtype) -> nn.Module | None:
        """Return the copy; None where there is none: weights that learn, or too many of them."""
        state = weights_state(network)
        if state is None or precision == torch.float32:
            return None
        if sum(weight.numel() for weight in network.parameters()) > _MOST_WEIGHTS:
            return None
        if self._kept is None or self._kept[0] != (precision, *state):
            self._kept = ((precision, *state), _copy(network, precision))
        return self._kept[1]


@contextmanager
def looking(network: nn.Module, precision: torch.dtype, rounded: Rounded) -> Iterator[nn.Module]:
    """Yield what to compute with, without gradients: the copy, or the network under autocast."""
    found = rounded.of(network, precision)
    if found is None:
        with without_gradients(network, precision):
            yield network
    else:
        with torch.no_grad(), fast_products():
            yield found


def _copy(network: nn.Module, precision: torch.dtype) -> nn.Module:
    """Return a copy in which every weight is rounded that no layer needs whole."""
    whole = {
        id(weight)
        for module in network.modules()
        if isinstance(module, Float32Linear)
        for weight in module.parameters()
    }
    memo = {
        id(weight): nn.Parameter(
            weight.detach() if id(weight) in whole else weight.detach().to(precision),
            requires_grad=False,
        )
        for weight in network.parameters()
    }
    return copy.deepcopy(network, memo).eval()
