"""Attention on a CPU, two to six times faster than the library's kernel.

torch's flash attention for a CPU makes little of its matrix units; batched matrix products on
a few heads at a time use them, and their scores stay within the caches. Forward and backward in
bfloat16, 8 texts of 256 tokens and 12 heads of 32: 22 ms there, 10 ms here; 64 texts of 32
tokens: 21 and 3.3 ms; in float32 30 and 16 ms, 42 and 3.4 ms (LOG.md). Memory is O(L) a token
there and here: scores are computed again for the backward pass, never kept.

Shapes: B texts, H heads, N = B * H, L tokens of the longest, K keys of the longest, D numbers a
head.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "nearfar"
_BYTES_AT_ONCE = 3_000_000  # scores that fit the caches of a core; twice as many are slower


def use_fast_attention(transformer: PreTrainedModel) -> None:
    """Let a transformer that uses torch's attention use this one, where it is the faster."""
    if getattr(transformer.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    transformer.set_attn_implementation(_NAME)


def _attend(
    module: nn.Module,
    query: Float[Tensor, "B H L D"],
    key: Float[Tensor, "B G K D"],
    value: Float[Tensor, "B G K D"],
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as the library does, by whichever road is faster."""
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    causal = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    plain = (
        query.dtype == key.dtype == value.dtype
        and query.dtype in (torch.bfloat16, torch.float32)
        and query.device.type == "cpu"
        and query.shape == key.shape == value.shape
        and not options.get("dropout")
        and not (causal and attention_mask is None)
        and (attention_mask is None or attention_mask.dtype == torch.bool)
        and all(
            options.get(name) is None for name in ("position_bias", "softcap", "cache", "s_aux")
        )
    )
    if not plain:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return found
    out = attention(query, key, value, attention_mask, scale)
    return out.transpose(1, 2).contiguous(), None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # writes into parts of a tensor
def attention(
    query: Float[Tensor, "B H L D"],
    key: Float[Tensor, "B H L D"],
    value: Float[Tensor, "B H L D"],
    real: Bool[Tensor, "B 1 L L"] | None,
    scale: float,
) -> Float[Tensor, "B H L D"]:
    """Return softmax(query key^T scale) value, where False in `real` is not attended to.

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """
    if real is not None and real.all():
        real = None
    result: Tensor = _Attention.apply(query, key, value, real, scale)  # type: ignore[no-untyped-call]
    return result


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None, scale: float
    ) -> Tensor:
        heads = query.shape[1]
        q, k, v = (tensor.flatten(0, 1) for tensor in (query, key, value))  # (N, L, D)
        q = q * scale
        out = torch.empty_like(q)
        for part in _parts(q, heads):
            torch.bmm(_shares(q, k, real, part, heads), v[part], out=out[part])
        ctx.save_for_backward(q, k, v, real)
        ctx.scale, ctx.heads = scale, heads
        return out.view(query.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, real = ctx.saved_tensors
        heads = ctx.heads
        above = gradients[0].flatten(0, 1).to(q.dtype)
        moves = [torch.empty_like(tensor) for tensor in (q, k, v)]
        for part in _parts(q, heads):
            shares = _shares(q, k, real, part, heads)
            torch.bmm(shares.transpose(1, 2), above[part], out=moves[2][part])
            slopes = torch.bmm(above[part], v[part].transpose(1, 2))
            slopes = torch._softmax_backward_data(slopes, shares, -1, shares.dtype)
            torch.bmm(slopes, k[part], out=moves[0][part])
            torch.bmm(slopes.transpose(1, 2), q[part], out=moves[1][part])
        moves[0] *= ctx.scale
        return *(move.view(gradients[0].shape) for move in moves), None, None


def _parts(q: Tensor, heads: int) -> list[slice]:
    """Divide texts, or heads of a long text, so that their scores fit the caches."""
    fit = max(_BYTES_AT_ONCE // (q.element_size() * q.shape[1] ** 2), 1)
    if fit >= heads:
        step = fit // heads * heads
        return [slice(start, start + step) for start in range(0, len(q), step)]
    return [
        slice(text + head, text + min(head + fit, heads))
        for text in range(0, len(q), heads)
        for head in range(0, heads, fit)
    ]


def _shares(q: Tensor, k: Tensor, real: Tensor | None, part: slice, heads: int) -> Tensor:
    """Return how much each token attends to each other, for some heads."""
    # Under autocast softmax would be computed in float32, at twice the memory.
    with torch.autocast("cpu", enabled=False):
        scores = torch.bmm(q[part], k[part].transpose(1, 2))
        if real is not None:
            texts = real[part.start // heads : -(-min(part.stop, len(q)) // heads)]
            together = scores.view(len(texts), -1, *scores.shape[1:])  # (texts, heads, L, L)
            if not texts.all():
                # The lowest number, not -inf: a token of padding may see none at all (sliding
                # windows), and its NaN would reach those that see it.
                together.masked_fill_(~texts, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=-1)
