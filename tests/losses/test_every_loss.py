"""Promises that every loss keeps; a new one is covered the moment it joins LOSSES."""

import oracles
import pytest
import torch
from graphs import batches
from hypothesis import given, settings
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses import LOSSES, Edges

every_loss = pytest.mark.parametrize("name", LOSSES)
Graph = tuple[Tensor, Tensor, Edges]


def slow(name: str, q: Tensor, d: Tensor, edges: Edges, temperature: float) -> float:
    triples = zip(edges.query.tolist(), edges.document.tolist(), edges.grade.tolist(), strict=True)
    excluded = [] if edges.excluded is None else edges.excluded.tolist()
    value: float = getattr(oracles, name)(
        q.tolist(),
        d.tolist(),
        list(triples),
        temperature=temperature,
        excluded=[tuple(pair) for pair in excluded],
    )
    return value


def test_each_has_a_slow_twin() -> None:
    assert set(LOSSES) <= set(vars(oracles))


@every_loss
@given(graph=batches())
def test_equals_its_twin(name: str, graph: Graph) -> None:
    q, d, edges = graph
    found = LOSSES[name](q, d, edges, temperature=0.2)
    assert found.item() == pytest.approx(slow(name, q, d, edges, 0.2), rel=1e-5, abs=1e-6)


@every_loss
@settings(max_examples=20)
@given(graph=batches())
def test_its_gradient_is_the_slope_of_its_twin(name: str, graph: Graph) -> None:
    q, d, edges = graph
    q, d = q.double(), d.double()
    leaves = [q.clone().requires_grad_(), d.clone().requires_grad_()]
    LOSSES[name](*leaves, edges, temperature=0.5).backward()
    step = 1e-5
    for leaf, place in ((0, (0, 0)), (1, (0, 3)), (1, (len(d) - 1, 5))):
        moved = []
        for sign in (1, -1):
            both = [q.clone(), d.clone()]
            both[leaf][place] += sign * step
            moved.append(slow(name, *both, edges, 0.5))
        slope = (moved[0] - moved[1]) / (2 * step)
        assert leaves[leaf].grad[place].item() == pytest.approx(slope, rel=1e-3, abs=2e-5)


@every_loss
@given(graph=batches())
def test_only_directions_count(name: str, graph: Graph) -> None:
    q, d, edges = graph
    one = LOSSES[name](q, d, edges, temperature=0.1)
    other = LOSSES[name](7 * q, d / 3, edges, temperature=0.1)
    assert one.item() == pytest.approx(other.item(), rel=1e-4, abs=1e-5)


@every_loss
@given(graph=batches())
def test_the_order_of_texts_and_edges_does_not_matter(name: str, graph: Graph) -> None:
    q, d, edges = graph
    rows, columns = torch.randperm(len(q)), torch.randperm(len(d))
    shuffled = torch.randperm(len(edges.grade))
    back_q, back_d = rows.argsort(), columns.argsort()
    assert edges.excluded is not None
    moved = Edges(
        back_q[edges.query][shuffled],
        back_d[edges.document][shuffled],
        edges.grade[shuffled],
        torch.stack([back_q[edges.excluded[:, 0]], back_d[edges.excluded[:, 1]]], dim=1),
    )
    one = LOSSES[name](q, d, edges, temperature=0.1)
    other = LOSSES[name](q[rows], d[columns], moved, temperature=0.1)
    assert one.item() == pytest.approx(other.item(), rel=1e-4, abs=1e-5)


@every_loss
@pytest.mark.parametrize("temperature", [0.001, 0.01, 100.0])
@given(graph=batches())
def test_no_temperature_makes_it_or_its_gradient_other_than_numbers(
    name: str, temperature: float, graph: Graph
) -> None:
    q, d = (vectors.clone().requires_grad_() for vectors in graph[:2])
    value = LOSSES[name](q, d, graph[2], temperature=temperature)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(q.grad).all()
    assert torch.isfinite(d.grad).all()


@every_loss
def test_low_precision_vectors_are_compared_in_float32(name: str) -> None:
    q = torch.nn.functional.normalize(torch.randn(4, 64), dim=1).bfloat16()
    d = torch.nn.functional.normalize(torch.randn(6, 64), dim=1).bfloat16()
    edges = Edges(torch.arange(4), torch.arange(4), torch.ones(4))
    low = LOSSES[name](q, d, edges, temperature=0.01)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(slow(name, q.float(), d.float(), edges, 0.01), rel=1e-4)


@every_loss
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused(name: str, temperature: float) -> None:
    edges = Edges(torch.arange(2), torch.arange(2), torch.ones(2))
    with pytest.raises(BadSetting, match=r"loss\.temperature must be above 0"):
        LOSSES[name](torch.randn(2, 4), torch.randn(2, 4), edges, temperature=temperature)
