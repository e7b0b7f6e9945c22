"""The name of a network's weights, and whether they may have changed since it was given."""

import hashlib
from typing import Any

from torch import nn


def weights_sha256(network: nn.Module, *, unless: str | None = None) -> str:
    """Return the SHA-256 of all weights, their names and shapes.

    Args:
        network: whose.
        unless: weights with this in their name are passed over.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        if unless is not None and unless in name:
            continue
        digest.update(f"{name} {tuple(weight.shape)} ".encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()


def weights_state(network: nn.Module) -> tuple[Any, ...] | None:
    """Return what stays the same while the weights do; None if nothing can tell.

    Fused optimisers change weights that may learn unseen. Any other change in place raises the
    version of a tensor, or puts another in its place; only a write through `.data` into frozen
    weights goes unseen.
    """
    if any(weight.requires_grad for weight in network.parameters()):
        return None
    return tuple((w.data_ptr(), w._version) for w in network.state_dict().values())
