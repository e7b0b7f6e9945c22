"""InfoNCE with exact masks: what is known is never pushed away."""

import math

import pytest
import torch
from graphs import edges, one_answer_each

from nearfar.losses import Edges
from nearfar.losses.infonce import infonce


def test_is_log_of_the_candidates_when_all_look_alike() -> None:
    same = torch.ones(5, 8)
    assert infonce(same, same, one_answer_each(5)).item() == pytest.approx(math.log(5))


def test_with_one_answer_each_it_is_the_cross_entropy_of_the_field() -> None:
    q, d = torch.randn(4, 8), torch.randn(6, 8)
    scores = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(d).T
    expected = torch.nn.functional.cross_entropy(scores / 0.05, torch.arange(4))
    found = infonce(q, d, one_answer_each(4), temperature=0.05)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def push(graph: Edges, document: int) -> float:
    """How strongly query 0 moves a document."""
    q, d = torch.randn(2, 6), torch.randn(3, 6).requires_grad_()
    # Query 1 must not touch it, so that only query 0 is seen.
    only_first = graph.excluding(torch.tensor([[1, 0], [1, 1], [1, 2]]))
    infonce(q, d, only_first, temperature=1.0).backward()
    return float(d.grad[document].abs().max())


def test_an_unknown_document_is_pushed_away() -> None:
    assert push(edges((0, 0, 1.0)), document=2) > 0


def test_a_judged_negative_is_pushed_away() -> None:
    assert push(edges((0, 0, 1.0), (0, 2, 0.0)), document=2) > 0


def test_an_excluded_document_feels_nothing() -> None:
    assert push(edges((0, 0, 1.0), excluded=[(0, 2)]), document=2) == 0


def test_two_answers_of_one_query_do_not_compete() -> None:
    q = torch.tensor([[1.0, 0.0]])
    d = torch.tensor([[1.0, 0.2], [0.2, 1.0], [-1.0, 0.3]])
    both = infonce(q, d, edges((0, 0, 1.0), (0, 1, 1.0)), temperature=0.5)
    alone = [infonce(q, d[[i, 2]], edges((0, 0, 1.0)), temperature=0.5) for i in (0, 1)]
    assert both.item() == pytest.approx(sum(value.item() for value in alone) / 2, rel=1e-5)


def test_a_query_without_negatives_loses_nothing_and_learns_nothing() -> None:
    q, d = torch.randn(2, 4, requires_grad=True), torch.randn(1, 4, requires_grad=True)
    value = infonce(q, d, edges((0, 0, 1.0), (1, 0, 1.0)))
    value.backward()
    assert value.item() == 0
    assert q.grad.abs().max() == 0
    assert d.grad.abs().max() == 0


def test_a_batch_with_nothing_to_learn_is_the_callers_slip() -> None:
    with pytest.raises(ValueError, match="no positive edge"):
        infonce(torch.randn(1, 4), torch.randn(1, 4), edges((0, 0, 0.0)))
