"""Which numbers a machine computes with in hardware."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from nearfar.errors import BadSetting
from nearfar.vectors.products import fast_products

Precision = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is the GPU where there is one.

    Raises:
        BadSetting: the name is not one of a device that is here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadSetting(f"device must be auto, cpu, cuda or cuda:N, got {name!r}.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadSetting(f"device is {name!r}, but no GPU is seen here. Set it to auto or cpu.")
    return device


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """Return the type matrix products are computed in; "auto" is bfloat16 where it is fast.

    Weights, pooling, normalisation, similarities and losses stay in float32 either way.

    Raises:
        BadSetting: the name is not one of the choices.
    """
    if name == "auto":
        return torch.bfloat16 if _has_fast_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise BadSetting(f"precision must be auto, {', '.join(DTYPES)}, got {name!r}.")
    return DTYPES[name]


@contextmanager
def in_precision(dtype: torch.dtype, device: torch.device, *, cache: bool = True) -> Iterator[None]:
    """While this lasts, compute matrix products in that type.

    Args:
        dtype: of the products.
        device: where they are computed.
        cache: whether a weight that learns is rounded once, and not for each product.
    """
    enabled = dtype != torch.float32
    with fast_products(), torch.autocast(device.type, dtype, enabled, cache):
        yield


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        # Since Ampere; older cards emulate it slowly.
        return torch.cuda.get_device_capability(device)[0] >= 8
    # Without these instructions a CPU emulates bfloat16, slower than float32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def without_gradients(network: nn.Module, precision: torch.dtype) -> Iterator[None]:
    """While this lasts, compute without gradients, and without dropout.

    A network that is frozen and in eval mode is left as it is: any number of threads may compute
    with it at once. One that may learn is its trainer's alone: until this ends it is in eval mode,
    and all of its weights are marked as learning. Autocast keeps a rounded copy of such a weight
    only; of others it would make a new one for each chunk. The copies go when this ends.
    """
    device = next(network.parameters()).device
    # Of sharded weights copies would stay that are whole.
    cache = not any(hasattr(weight, "full_tensor") for weight in network.parameters())
    with (
        torch.no_grad(),
        in_precision(precision, device, cache=cache),
        _its_own(network, precision),
    ):
        yield


@contextmanager
def _its_own(network: nn.Module, precision: torch.dtype) -> Iterator[None]:
    was_training = network.training
    if not was_training and not any(weight.requires_grad for weight in network.parameters()):
        yield
        return
    rounded = precision != torch.float32
    frozen = [w for w in network.parameters() if rounded and not w.requires_grad]
    network.eval()
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
        network.train(was_training)
