"""Losses of pairs against sentence-transformers 6.2, and what no pair may do to them."""

from collections.abc import Callable

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    ContrastiveLoss,
    CosineSimilarityLoss,
    OnlineContrastiveLoss,
)
from slopes import same_slopes
from torch import Tensor

from nearfar.losses import Edges
from nearfar.losses.pairs import contrastive, cosine_mse, online_contrastive

GRADES = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def vectors() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 8, requires_grad=True), torch.randn(6, 8, requires_grad=True)


def pairs(grades: Tensor) -> Edges:
    return Edges(torch.arange(len(grades)), torch.arange(len(grades)), grades)


@pytest.mark.parametrize("margin", [0.3, 1.2])
def test_contrastive_is_that_of_the_field(margin: float) -> None:
    q, d = vectors()
    theirs = ContrastiveLoss(None, margin=margin).compute_loss_from_embeddings([q, d], GRADES)
    same_slopes(contrastive(q, d, pairs(GRADES), margin=margin), theirs, (q, d))


@pytest.mark.parametrize("margin", [0.5, 1.5])
@pytest.mark.parametrize(
    "grades", [GRADES, GRADES * 0, GRADES * 0 + 1], ids=["both", "far", "near"]
)
def test_online_contrastive_is_that_of_the_field_over_its_hard_pairs(
    grades: Tensor, margin: float
) -> None:
    q, d = vectors()
    theirs = OnlineContrastiveLoss(None, margin=margin).compute_loss_from_embeddings([q, d], grades)
    apart = (1 - torch.cosine_similarity(q, d)).tolist()
    near = [x for x, grade in zip(apart, grades, strict=True) if grade]
    far = [x for x, grade in zip(apart, grades, strict=True) if not grade]
    nearest = min(far) if far else sum(near) / len(near)
    farthest = max(near) if near else sum(far) / len(far)
    hard = sum(x > nearest for x in near) + sum(x < farthest for x in far)
    assert hard > 1  # else the mean is the sum
    same_slopes(online_contrastive(q, d, pairs(grades), margin=margin), theirs / hard, (q, d))


def test_cosine_mse_is_that_of_the_field() -> None:
    q, d = vectors()
    grades = torch.tensor([1.0, 0.0, 0.25, 0.5, 0.75, 0.125])
    theirs = CosineSimilarityLoss(None).compute_loss_from_embeddings([q, d], grades)
    same_slopes(cosine_mse(q, d, pairs(grades)), theirs, (q, d))


@pytest.mark.parametrize("loss", [contrastive, online_contrastive, cosine_mse])
def test_an_excluded_pair_feels_nothing_and_the_others_do(loss: Callable[..., Tensor]) -> None:
    q, d = vectors()
    loss(q, d, pairs(GRADES).excluding(torch.tensor([[1, 1], [2, 2]])), **(
        {} if loss is cosine_mse else {"margin": 2.0}
    )).backward()  # fmt: skip
    assert q.grad[1:3].abs().max() == 0
    assert d.grad[1:3].abs().max() == 0
    assert q.grad.abs().max() > 0


def test_online_contrastive_of_pairs_in_order_is_0_and_its_slope_too() -> None:
    q = torch.eye(2, 4, requires_grad=True)
    d = torch.eye(2, 4).roll(1, 0)
    d[0] = q[0].detach()
    loss = online_contrastive(q, d, pairs(torch.tensor([1.0, 0.0])))
    loss.backward()
    assert loss.item() == 0
    assert q.grad.abs().max() == 0
