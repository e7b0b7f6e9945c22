"""One vector out of many tokens, against loops, and never a number from the padding."""

import math
from collections.abc import Callable

import pytest
import torch

from nearfar.model.pooling import POOLINGS

Row = list[list[float]]  # one number per place of the vector, for each real token


def columns(tokens: Row) -> list[list[float]]:
    return [list(column) for column in zip(*tokens, strict=True)]


def weighted(tokens: Row) -> list[float]:
    total = sum(range(1, len(tokens) + 1))
    return [math.fsum((i + 1) * x for i, x in enumerate(c)) / total for c in columns(tokens)]


TWINS: dict[str, Callable[[Row], list[float]]] = {
    "mean": lambda tokens: [math.fsum(c) / len(tokens) for c in columns(tokens)],
    "mean_sqrt": lambda tokens: [math.fsum(c) / math.sqrt(len(tokens)) for c in columns(tokens)],
    "weighted": weighted,
    "cls": lambda tokens: tokens[0],
    "last": lambda tokens: tokens[-1],
    "max": lambda tokens: [max(c) for c in columns(tokens)],
}
LENGTHS = [5, 1, 3]

every_pooling = pytest.mark.parametrize("name", POOLINGS)


def tokens_and_real(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randn(3, 5, 8).to(dtype)
    return tokens, torch.arange(5)[None, :] < torch.tensor(LENGTHS)[:, None]


def test_each_has_a_slow_twin() -> None:
    assert set(TWINS) == set(POOLINGS)


@every_pooling
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_its_twin(name: str, dtype: torch.dtype) -> None:
    tokens, real = tokens_and_real(dtype)
    found = POOLINGS[name](tokens, real)
    assert found.dtype == torch.float32
    expected = [TWINS[name](tokens[i, :n].tolist()) for i, n in enumerate(LENGTHS)]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


@every_pooling
def test_the_padding_moves_nothing_and_learns_nothing(name: str) -> None:
    tokens, real = tokens_and_real()
    expected = POOLINGS[name](tokens, real)
    noisy = torch.where(real.unsqueeze(-1), tokens, 1e4).requires_grad_()
    found = POOLINGS[name](noisy, real)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert noisy.grad[~real].abs().max() == 0
    assert noisy.grad[real].abs().max() > 0


@every_pooling
def test_the_width_of_the_batch_does_not_matter(name: str) -> None:
    tokens, real = tokens_and_real()
    wide = torch.nn.functional.pad(tokens, (0, 0, 0, 4))
    torch.testing.assert_close(
        POOLINGS[name](wide, torch.nn.functional.pad(real, (0, 4))), POOLINGS[name](tokens, real)
    )
