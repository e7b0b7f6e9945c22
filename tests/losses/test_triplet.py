"""Triplets against sentence-transformers 6.2, and a batch that is worked off in parts."""

from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer import losses as field
from slopes import same_slopes
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.losses import Edges
from nearfar.losses import triplet as module
from nearfar.losses.triplet import triplet

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
METRICS = field.BatchHardTripletLossDistanceFunction


def own_negatives(count: int) -> Edges:
    """Query i, its answer i, and i + count that is judged to be none."""
    both = torch.arange(count)
    grades = torch.cat([torch.ones(count), torch.zeros(count)])
    return Edges(both.repeat(2), torch.arange(2 * count), grades)


def of_one_class() -> Edges:
    """Texts that are queries and documents at once; answers are the others of the same label."""
    same = LABELS[:, None] == LABELS
    same.fill_diagonal_(False)
    row, column = same.nonzero().T
    itself = torch.arange(len(LABELS))
    return Edges(row, column, torch.ones(len(row)), torch.stack([itself, itself], dim=1))


@pytest.mark.parametrize("select", ["hardest", "semihard"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
def test_with_one_negative_each_it_is_that_of_the_field(distance: str, select: str) -> None:
    q, d = torch.randn(5, 8, requires_grad=True), torch.randn(10, 8, requires_grad=True)
    metric = getattr(field.TripletDistanceMetric, distance.upper())
    unit = [normalize(one) for one in (q, d[:5], d[5:])]
    theirs = field.TripletLoss(None, metric, 0.4).compute_loss_from_embeddings(unit, LABELS)
    ours = triplet(
        q, d, own_negatives(5), distance=distance, select=select, margin=0.4, negatives="own"
    )
    same_slopes(ours, theirs, [q, d])


CLASSES = {
    "all": field.BatchAllTripletLoss,
    "hardest": field.BatchHardTripletLoss,
    "semihard": field.BatchSemiHardTripletLoss,
    "soft": field.BatchHardSoftMarginTripletLoss,
}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_among_the_texts_of_a_batch_it_is_that_of_the_field(distance: str, kind: str) -> None:
    texts = torch.randn(8, 6, requires_grad=True)
    metric = METRICS.cosine_distance if distance == "cosine" else METRICS.eucledian_distance
    soft = kind == "soft"
    options: dict[str, Any] = {} if soft else {"margin": 0.3}
    theirs = CLASSES[kind](None, metric, **options).compute_loss_from_embeddings(
        [normalize(texts)], LABELS
    )
    ours = triplet(
        texts, texts, of_one_class(), distance=distance, soft=soft,
        select="hardest" if soft else kind, **options,
    )  # fmt: skip
    same_slopes(ours, theirs, [texts])


@pytest.mark.parametrize("select", ["all", "hardest", "semihard"])
@pytest.mark.parametrize("distance", ["cosine", "manhattan"])
@pytest.mark.parametrize("numbers", [1, 20, 40])
def test_a_batch_in_parts_is_the_batch(
    monkeypatch: pytest.MonkeyPatch, distance: str, select: str, numbers: int
) -> None:
    texts = torch.randn(8, 6, requires_grad=True)

    def slopes() -> tuple[Tensor, Tensor]:
        value = triplet(texts, texts, of_one_class(), distance=distance, select=select)
        return value.detach(), torch.autograd.grad(value, texts)[0]

    whole = slopes()
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", numbers)
    torch.testing.assert_close(slopes(), whole)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("select", ["all", "hardest", "semihard"])
@pytest.mark.parametrize("texts", [torch.zeros(8, 6), torch.ones(8, 6)], ids=["zeros", "same"])
def test_texts_that_cannot_be_told_apart_feel_numbers(
    texts: Tensor, select: str, distance: str
) -> None:
    leaf = texts.clone().requires_grad_()
    loss = triplet(leaf, leaf, of_one_class(), distance=distance, select=select)
    loss.backward()
    assert loss.item() == pytest.approx(0.2, abs=1e-6)  # the margin
    assert torch.isfinite(leaf.grad).all()


def test_a_negative_as_near_as_the_answer_is_not_semihard() -> None:
    q = torch.tensor([[1.0, 0.0]])
    d = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])  # the answer, its twin, one beyond
    known = Edges(torch.tensor([0]), torch.tensor([0]), torch.tensor([1.0]))
    found = triplet(q, d, known, select="semihard", margin=1.0)
    assert found.item() == pytest.approx(1 - 0.5**0.5)  # own 1 - sqrt(1/2), the other 1, margin 1


@pytest.mark.parametrize("select", ["all", "hardest", "semihard"])
def test_an_excluded_negative_of_its_own_feels_nothing(select: str) -> None:
    q, d = torch.randn(3, 6), torch.randn(6, 6, requires_grad=True)
    known = own_negatives(3).excluding(torch.tensor([[1, 4]]))
    triplet(q, d, known, negatives="own", select=select, margin=2.0).backward()
    assert d.grad[4].abs().max() == 0
    assert d.grad[3].abs().max() > 0
