"""From one vector per token to one vector per text.

Shapes: B texts, L tokens of the longest, H numbers per token. Texts are padded on the right,
so the tokens of a text are the first ones of its row; every text has at least one.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Pool = Callable[[Tensor, Tensor], Tensor]


def mean(tokens: Float[Tensor, "B L H"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B H"]:
    """Return the average token, summed in float32."""
    return _sum(tokens, real) / _count(real)


def mean_sqrt(tokens: Float[Tensor, "B L H"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B H"]:
    """Return the sum of the tokens over the square root of their number."""
    return _sum(tokens, real) / _count(real).sqrt()


def weighted(tokens: Float[Tensor, "B L H"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B H"]:
    """Return the average token where the i-th counts i times: late tokens of a decoder know more.

    Source: Muennighoff 2022, arXiv:2202.08904, sec. 3.1.1.
    """
    weights = real * torch.arange(1, real.shape[1] + 1, device=real.device)  # (B, L)
    total = (tokens.float() * weights.unsqueeze(-1)).sum(1)
    return total / weights.sum(1, keepdim=True)


def cls(tokens: Float[Tensor, "B L H"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B H"]:
    """Return the first token."""
    return tokens[:, 0].float()


def last(tokens: Float[Tensor, "B L H"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B H"]:
    """Return the last token that is not padding."""
    rows = torch.arange(len(tokens), device=tokens.device)
    return tokens[rows, real.sum(1) - 1].float()


def maximum(tokens: Float[Tensor, "B L H"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B H"]:
    """Return the largest of each number over the tokens."""
    return tokens.float().masked_fill(~real.unsqueeze(-1), float("-inf")).amax(1)


POOLINGS: dict[str, Pool] = {
    "mean": mean,
    "cls": cls,
    "last": last,
    "max": maximum,
    "weighted": weighted,
    "mean_sqrt": mean_sqrt,
}


def _sum(tokens: Tensor, real: Tensor) -> Tensor:
    # A sum of hundreds of bfloat16 numbers loses its last digits; float32 keeps them.
    return (tokens.float() * real.unsqueeze(-1)).sum(1)


def _count(real: Tensor) -> Tensor:
    return real.sum(1, keepdim=True)
