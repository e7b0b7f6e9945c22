"""Losses of order against sentence-transformers 6.2, and edges that are worked off in parts."""

from collections.abc import Callable

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss
from torch import Tensor

from nearfar.losses import Edges
from nearfar.losses import ranking as module
from nearfar.losses.ranking import angle, cosent

GRADES = torch.tensor([1.0, 0.0, 0.5, 0.5, 0.25, 0.0, 1.0])
ORDERED = {"cosent": (cosent, CoSENTLoss), "angle": (angle, AnglELoss)}


def pairs(grades: Tensor) -> Edges:
    return Edges(torch.arange(len(grades)), torch.arange(len(grades)), grades)


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("dimensions", [8, 7])
@pytest.mark.parametrize("grades", [GRADES, GRADES * 0], ids=["some", "all alike"])
def test_it_is_that_of_the_field(name: str, dimensions: int, grades: Tensor) -> None:
    ours, theirs = ORDERED[name]
    q, d = (torch.randn(7, dimensions, requires_grad=True) for _ in range(2))
    values = (
        ours(q, d, pairs(grades), temperature=0.05),
        theirs(None, scale=20.0).compute_loss_from_embeddings([q, d], grades),
    )
    torch.testing.assert_close(*values)
    if grades.any():
        for one, other in zip(*(torch.autograd.grad(v, (q, d)) for v in values), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("loss", [cosent, angle])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_edges_in_parts_are_the_edges(
    monkeypatch: pytest.MonkeyPatch, loss: Callable[..., Tensor], at_once: int
) -> None:
    q, d = torch.randn(7, 6, requires_grad=True), torch.randn(7, 6)
    whole = loss(q, d, pairs(GRADES))
    slope = torch.autograd.grad(whole, q)
    monkeypatch.setattr(module, "_EDGES_AT_ONCE", at_once)
    parts = loss(q, d, pairs(GRADES))
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts, q), slope)


@pytest.mark.parametrize("loss", [cosent, angle])
def test_an_excluded_pair_feels_nothing_and_the_others_do(loss: Callable[..., Tensor]) -> None:
    q, d = torch.randn(7, 6, requires_grad=True), torch.randn(7, 6, requires_grad=True)
    loss(q, d, pairs(GRADES).excluding(torch.tensor([[0, 0]]))).backward()
    assert q.grad[0].abs().max() == 0
    assert d.grad[0].abs().max() == 0
    assert q.grad.abs().max() > 0
