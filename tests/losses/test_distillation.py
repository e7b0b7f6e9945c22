"""Distillation against sentence-transformers 6.2, and slopes of what learns from vectors."""

from collections.abc import Callable

import pytest
import torch
from graphs import one_answer_each
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    EmbedDistillLoss,
    MarginMSELoss,
)
from sentence_transformers.util import pairwise_cos_sim
from slopes import same_slopes
from torch import Tensor

from nearfar.losses import Edges
from nearfar.losses.distillation import (
    embedding_distillation,
    listwise_infonce,
    listwise_kl,
    margin_mse,
)


def lists(scores: Tensor) -> Edges:
    """Each query with documents of its own, one a column of scores, as the field keeps them."""
    count, width = scores.shape
    query = torch.arange(count).repeat_interleave(width)
    document = torch.arange(count * width)
    return Edges(query, document, torch.ones(len(query)), score=scores.flatten())


def student(queries: int, width: int) -> tuple[Tensor, Tensor]:
    return (
        torch.randn(queries, 6, requires_grad=True),
        torch.randn(queries * width, 6, requires_grad=True),
    )


def test_margin_mse_of_one_negative_is_that_of_the_field() -> None:
    q, d = student(4, 2)
    scores = torch.randn(4, 2)
    columns = [q, d[0::2], d[1::2]]
    theirs = MarginMSELoss(None, pairwise_cos_sim).compute_loss_from_embeddings(columns, scores)
    same_slopes(margin_mse(q, d, lists(scores), temperature=1.0), theirs, (q, d))


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_listwise_kl_is_that_of_the_field_but_for_whose_temperature_is_squared(
    temperature: float,
) -> None:
    q, d = student(4, 3)
    scores = torch.randn(4, 3)
    theirs = DistillKLDivLoss(
        None, pairwise_cos_sim, student_temperature=temperature * 2, teacher_temperature=2.0
    ).compute_loss_from_embeddings([q, *(d[k::3] for k in range(3))], scores)
    ours = listwise_kl(q, d, lists(scores), temperature=temperature, teacher_temperature=2.0)
    same_slopes(ours / 2.0**2, theirs / (temperature * 2) ** 2, (q, d))


def test_embedding_distillation_is_that_of_the_field() -> None:
    q, d = student(4, 1)
    theirs = torch.randn(4, 6), torch.randn(4, 6)
    known = one_answer_each(4)
    taught = Edges(known.query, known.document, known.grade, teacher=theirs)
    field = EmbedDistillLoss(None, "cosine").compute_loss_from_embeddings([q, d], list(theirs))
    same_slopes(embedding_distillation(q, d, taught), field, (q, d))


@pytest.mark.parametrize("relations", [False, True])
def test_the_slope_of_embedding_distillation_is_its_slope(relations: bool) -> None:
    q, d = (one.detach().double().requires_grad_() for one in student(3, 2))
    theirs = torch.randn(3, 6).double(), torch.randn(6, 6).double()
    known = one_answer_each(3)
    taught = Edges(known.query, known.document, known.grade, teacher=theirs)
    assert torch.autograd.gradcheck(
        lambda a, b: embedding_distillation(a, b, taught, relations=relations), (q, d)
    )


def test_relations_are_the_mean_squared_gap_of_all_cosines() -> None:
    q, d = student(3, 2)
    theirs = torch.randn(3, 9), torch.randn(6, 9)
    known = one_answer_each(3)
    taught = Edges(known.query, known.document, known.grade, teacher=theirs)
    ours, teacher = torch.cat([q, d]).tolist(), torch.cat(theirs).tolist()
    gaps = [
        torch.cosine_similarity(torch.tensor(ours[i]), torch.tensor(ours[j]), dim=0)
        - torch.cosine_similarity(torch.tensor(teacher[i]), torch.tensor(teacher[j]), dim=0)
        for i in range(9)
        for j in range(9)
    ]
    expected = sum(float(gap) ** 2 for gap in gaps) / 81
    found = embedding_distillation(q, d, taught, relations=True)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_document_without_a_score_is_of_no_list() -> None:
    scores = torch.tensor([[1.0, 0.0, float("nan")], [2.0, -1.0, 0.5]])
    for loss in (margin_mse, listwise_kl):
        q, d = student(2, 3)
        loss(q, d, lists(scores)).backward()
        assert d.grad[2].abs().max() == 0
        assert d.grad[5].abs().max() > 0


def test_an_answer_without_a_score_is_not_pushed_away_by_its_query() -> None:
    scores = torch.tensor([[1.0, 0.0, float("nan")]])
    q, d = student(1, 3)
    listwise_infonce(q, d, lists(scores)).backward()
    assert d.grad[2].abs().max() == 0
    assert d.grad[0].abs().max() > 0


@pytest.mark.parametrize("loss", [margin_mse, listwise_kl, listwise_infonce])
def test_the_teacher_of_scores_is_not_taught(loss: Callable[..., Tensor]) -> None:
    q, d = student(2, 2)
    scores = torch.randn(2, 2, requires_grad=True)
    loss(q, d, lists(scores)).backward()
    assert scores.grad is None
    assert q.grad.abs().max() > 0
