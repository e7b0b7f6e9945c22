"""Alignment and uniformity are what loops say; a map is the same each time."""

import math

import pytest
import torch

from nearfar.evaluation.geometry import alignment, uniformity
from nearfar.vectors.similarity import unit


def test_alignment_is_the_squared_distance_of_each_pair() -> None:
    q, d = unit(torch.randn(5, 7)), unit(torch.randn(5, 7))
    expected = [
        math.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        for x, y in zip(q.tolist(), d.tolist(), strict=True)
    ]
    assert alignment(q, d).tolist() == pytest.approx(expected, abs=1e-6)


def test_uniformity_is_the_log_of_the_mean_kernel() -> None:
    x = unit(torch.randn(6, 5))
    rows = x.tolist()
    kernel = [
        math.exp(-2 * math.fsum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True)))
        for i in range(6)
        for j in range(i)
    ]
    assert uniformity(x) == pytest.approx(math.log(math.fsum(kernel) / len(kernel)), abs=1e-6)


def test_uniformity_knows_its_ends() -> None:
    assert uniformity(torch.ones(9, 4) / 2) == pytest.approx(0)  # all in one place
    assert uniformity(torch.eye(9)) == pytest.approx(-4)  # all at right angles
    with pytest.raises(ValueError, match="two vectors or more"):
        uniformity(torch.ones(1, 4))


def test_a_sample_of_many_is_the_same_each_time() -> None:
    x = unit(torch.randn(2_500, 8))
    assert uniformity(x, seed=1) == uniformity(x, seed=1)
    assert uniformity(x, seed=1) == pytest.approx(uniformity(x, seed=2), abs=0.05)
