"""How fast this machine can multiply matrices, and how many products a step asks of it.

utilisation = flops_of(transformer, lengths) / seconds / matrix_rate(dtype, device)
"""

import functools
import time

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from nearfar.vectors.products import fast_products

# Rows, inner and columns of one product: tokens of a micro-batch through the first layer of a
# feed-forward. A GPU needs larger ones before all of it works.
_SHAPES = {"cpu": (2_048, 384, 1_536), "cuda": (8_192, 4_096, 4_096)}
_SECONDS = 0.15  # of measuring, after the first product


def matrix_rate(dtype: torch.dtype, device: torch.device | str) -> float:
    """Return how fast the machine multiplies matrices of a transformer's shape, in FLOP/s.

    The best of some short runs, by the library that training computes with: what could be
    reached, not what is. Measured once a process for each number of threads, in about 0.2
    seconds; an emulated type, such as bfloat16 on an older CPU, can take longer.

    Args:
        dtype: of both factors.
        device: where they lie.
    """
    where = torch.device(device)
    if where.type == "cuda" and where.index is None:
        where = torch.device("cuda", torch.cuda.current_device())
    return _measured(dtype, where, torch.get_num_threads())


@functools.cache
def _measured(dtype: torch.dtype, device: torch.device, threads: int) -> float:
    del threads  # only to tell measurements apart
    rows, inner, columns = _SHAPES.get(device.type, _SHAPES["cpu"])
    dice = torch.Generator().manual_seed(0)
    one, other = (
        torch.randn(shape, generator=dice).to(device, dtype)
        for shape in ((rows, inner), (columns, inner))
    )
    with torch.no_grad(), fast_products(), torch.autocast(device.type, enabled=False):
        _seconds(one[:64], other)  # libraries are loaded, kernels chosen
        best, began = _seconds(one, other), time.perf_counter()
        while time.perf_counter() - began < _SECONDS:
            best = min(best, _seconds(one, other))
    return 2 * rows * inner * columns / best


def _seconds(one: Tensor, other: Tensor) -> float:
    """Return how long the product of one with the other, transposed as in a layer, takes."""
    _finish(one.device)
    began = time.perf_counter()
    nn.functional.linear(one, other)
    _finish(one.device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops_of(transformer: PreTrainedModel, lengths: npt.ArrayLike) -> float:
    """Return the floating-point operations of one forward and backward pass over some texts.

        flops = 6 x weights x tokens + 12 x layers x width x sum over texts of length²

    A weight of a matrix is one multiplication and one addition a token in the forward pass, and
    twice that in the backward pass: for the slope at its input and for its own (6 in all; 4 for
    a weight that does not learn, as under LoRA). Attention multiplies length x length x width
    twice, queries with keys and scores with values: 4 in the forward pass, 8 in the backward
    pass.

    Counted is what the model asks for, not what is done beside it: no padding, nothing that is
    computed a second time to save memory. All tokens are taken to attend to all others of their
    text, also where a model lets them look back or near only. Embeddings, norms and what follows
    the last layer (poolers, dense layers, heads) are left out, as are matrices that are not in
    linear layers (experts); a layer that is used several times (ALBERT) counts once.

    Args:
        transformer: as it is trained. Where no weight learns yet, all will.
        lengths: of the texts, in tokens.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B; Korthikanti et al. 2022,
        arXiv:2205.05198, appendix A.
    """
    tokens = np.asarray(lengths, dtype=np.float64)
    config = transformer.config.get_text_config()
    heads: int = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    attention = 12 * config.num_hidden_layers * width * np.square(tokens).sum()
    return float(_flops_a_token(transformer) * tokens.sum() + attention)


def _flops_a_token(transformer: nn.Module) -> int:
    weights = [
        module.weight
        for name, module in transformer.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and "pooler" not in name.split(".")
    ]
    none_learns = not any(weight.requires_grad for weight in weights)
    return sum((6 if none_learns or w.requires_grad else 4) * w.numel() for w in weights)
