"""Each process holds a part of the weights and gathers a layer while it computes it (FSDP2).

Source: Zhao et al. 2023, arXiv:2304.11277; torch.distributed.fsdp.fully_shard.
"""

from typing import Any

import torch
from torch import nn

from nearfar.training import ranks


def shard(network: nn.Module) -> None:
    """Divide the weights among all processes, layer by layer."""
    if ranks.count() == 1:
        return
    from torch.distributed.fsdp import fully_shard

    for module in network.modules():
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer)
    fully_shard(network)


def is_sharded(module: nn.Module) -> bool:
    """Return whether each process holds a part of the weights only."""
    return any(ranks.is_sharded(weight) for weight in module.parameters())


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return all weights whole, on the CPU; every process must ask."""
    # Shared tensors (tied weights) may lie in a file only once each: the copies are their own.
    return {
        name: ranks.whole(tensor.detach()).cpu().clone()
        for name, tensor in module.state_dict().items()
    }


def put_weights(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Put whole weights into a module, each process its part of them."""
    own = module.state_dict()
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())
        raise KeyError(f"weights do not fit, such as {odd[0]}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(_part_like(weights[name], tensor))


def memory_of(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimiser's memory whole; every process must ask."""
    state = optimiser.state_dict()
    state["state"] = {
        place: {
            key: ranks.whole(value).cpu() if isinstance(value, torch.Tensor) else value
            for key, value in entry.items()
        }
        for place, entry in state["state"].items()
    }
    return state


def put_memory(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put the optimiser's memory back, each process its part of it."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state["state"] = {
        place: {
            key: _part_like(value, weights[place])
            if isinstance(value, torch.Tensor) and value.shape == weights[place].shape
            else value
            for key, value in entry.items()
        }
        for place, entry in state["state"].items()
    }
    optimiser.load_state_dict(state)


def _part_like(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if not ranks.is_sharded(like):
        return whole.to(like.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)
