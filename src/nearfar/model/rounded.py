"""What a frozen transformer is looked through: a copy beside it, so that it stays as it is.

Any number of threads may look at once, as those of a server do: nothing of the network is changed
while one does, neither its mode nor whether its weights may learn.

On a CPU the copy is in bfloat16. Under autocast each layer rounds its input and the next one widens
it again, and what stands between the products (norms, sums, activations) is done in 32 bits. A
rounded copy does all of it in 16: about a tenth faster for many texts, and a third for a single one
(LOG.md). bfloat16 has the range of float32, so nothing overflows; float16 has not, and GPUs lose
little by autocast: for both the copy shares the weights, and marks them as learning. Autocast keeps
a rounded copy of such a weight only; of others it would make a new one for each chunk.
"""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from nearfar.model.pair_network import Float32Linear
from nearfar.model.precision import in_precision, without_gradients
from nearfar.model.weights import weights_state
from nearfar.vectors.products import fast_products

_MOST_WEIGHTS = 500_000_000  # of larger ones a second copy would not fit where the first just does
_copying = threading.Lock()  # a second copy of the weights may not fit


class Rounded:
    """The copy of one transformer, as long as its weights are the same.

    Fused optimisers change weights unseen: whoever lets them learn takes a new one.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], nn.Module] | None = None

    def of(self, transformer: nn.Module, precision: torch.dtype) -> nn.Module | None:
        """Return the copy; None where the transformer itself is looked through."""
        weights = weights_state(transformer)
        if weights is None or precision == torch.float32:
            return None
        state = (precision, weights)
        with _copying:
            if self._kept is None or self._kept[0] != state:
                made = _rounded if _has_own_weights(transformer, precision) else _sharing
                self._kept = (state, made(transformer))
            return self._kept[1]


def _has_own_weights(transformer: nn.Module, precision: torch.dtype) -> bool:
    """Return whether a copy holds weights of its own, in bfloat16."""
    weights = list(transformer.parameters())
    on_cpu = all(weight.device.type == "cpu" for weight in weights)
    small = sum(weight.numel() for weight in weights) <= _MOST_WEIGHTS
    return precision == torch.bfloat16 and on_cpu and small


@contextmanager
def looking(network: nn.Module, precision: torch.dtype, rounded: Rounded) -> Iterator[nn.Module]:
    """Yield what to compute with, without gradients.

    It is the network as it stands, with the copy for a transformer: what follows that computes
    in float32. Where there is none (in float32, or where weights may learn), it is the network.
    """
    transformer = network.transformer
    assert isinstance(transformer, nn.Module)
    found = rounded.of(transformer, precision)
    if found is None:
        with without_gradients(network, precision):
            yield network
        return
    seen = copy.copy(network)
    seen.__dict__["_modules"] = {**network._modules, "transformer": found}
    seen.training = False  # not eval(): what follows the transformer is still the network's own
    device = next(found.parameters()).device
    rounded_too = _has_own_weights(transformer, precision)
    with torch.no_grad(), fast_products() if rounded_too else in_precision(precision, device):
        yield seen


def _rounded(transformer: nn.Module) -> nn.Module:
    """Return a copy in which every weight is rounded that no layer needs whole."""
    whole = {
        id(weight)
        for module in transformer.modules()
        if isinstance(module, Float32Linear)
        for weight in module.parameters()
    }
    memo = {
        id(weight): nn.Parameter(
            weight.detach() if id(weight) in whole else weight.detach().to(torch.bfloat16),
            requires_grad=False,
        )
        for weight in transformer.parameters()
    }
    return copy.deepcopy(transformer, memo).eval()


def _sharing(transformer: nn.Module) -> nn.Module:
    """Return a copy of all but the numbers, whose weights autocast rounds once a call."""
    memo: dict[int, Any] = {id(w): nn.Parameter(w.detach()) for w in transformer.parameters()}
    memo |= {id(buffer): buffer for buffer in transformer.buffers()}
    return copy.deepcopy(transformer, memo).eval()
