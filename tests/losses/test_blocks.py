"""Blocks of rows give what all rows give at once, in value, gradient, and far less memory."""

import pytest
import torch
from graphs import batches
from hypothesis import given, settings
from torch import Tensor

from nearfar.losses import LOSSES, Edges, blocks
from nearfar.losses.infonce import infonce

Graph = tuple[Tensor, Tensor, Edges]
IN_BLOCKS = ("infonce", "decoupled_contrastive", "supervised_contrastive", "sigmoid")


def moved(name: str, graph: Graph, **options: object) -> list[Tensor]:
    q, d = (vectors.clone().requires_grad_() for vectors in graph[:2])
    hot = torch.tensor(0.3, requires_grad=True)
    value = LOSSES[name](q, d, graph[2], temperature=hot, **options)  # type: ignore[call-arg]
    value.backward()
    return [value.detach(), q.grad, d.grad, hot.grad]


@pytest.mark.parametrize("numbers", [1, 7, 12])
@pytest.mark.parametrize("name", IN_BLOCKS)
@given(graph=batches())
@settings(max_examples=20, deadline=None)
def test_the_size_of_a_block_changes_nothing(name: str, numbers: int, graph: Graph) -> None:
    whole = moved(name, graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_NUMBERS_AT_ONCE", numbers)
        for one, other in zip(moved(name, graph), whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", IN_BLOCKS)
@given(graph=batches())
@settings(max_examples=30, deadline=None)
def test_prefixes_that_share_products_are_the_mean_of_each_alone(name: str, graph: Graph) -> None:
    q, d, edges = graph
    found = moved(name, graph, prefixes=[2, 3, 6])
    leaves = [vectors.clone().requires_grad_() for vectors in (q, d)]
    hot = torch.tensor(0.3, requires_grad=True)
    each = [
        LOSSES[name](leaves[0][:, :n], leaves[1][:, :n], edges, temperature=hot)  # type: ignore[call-arg]
        for n in (2, 3, 6)
    ]
    value = torch.stack(each).mean()
    value.backward()
    expected = [value.detach(), leaves[0].grad, leaves[1].grad, hot.grad]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_batch_of_any_size_needs_no_square_of_it() -> None:
    count, dim = 20_000, 8
    both = torch.arange(count)
    seen: list[int] = []
    ordinary = torch.Tensor.index_put

    def watched(self: Tensor, *rest: object) -> Tensor:
        seen.append(self.numel())
        return ordinary(self, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "index_put", watched)
        infonce(torch.randn(count, dim), torch.randn(count, dim), Edges(both, both, both * 0 + 1.0))
    assert max(seen) <= blocks._NUMBERS_AT_ONCE


def test_without_gradients_nothing_is_kept_for_them() -> None:
    both = torch.arange(3)
    value = infonce(torch.eye(3), torch.eye(3), Edges(both, both, torch.ones(3)))
    assert not value.requires_grad
