"""Promises that every loss keeps; a new one is covered the moment it joins LOSSES."""

import inspect
import math
from dataclasses import replace

import oracles
import pytest
import torch
import twins
from graphs import batches
from hypothesis import assume, given, settings
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses import LOSSES, Edges

every_loss = pytest.mark.parametrize("name", LOSSES)
# These have their twins compared here; the twins of the others are in test_pairwise_losses.
of_all_pairs = pytest.mark.parametrize(
    "name", ["infonce", "decoupled_contrastive", "supervised_contrastive", "sigmoid", "spread_out"]
)
Graph = tuple[Tensor, Tensor, Edges]


def takes_temperature(name: str) -> bool:
    return "temperature" in inspect.signature(LOSSES[name]).parameters


def value(name: str, q: Tensor, d: Tensor, edges: Edges, temperature: float) -> Tensor:
    options = {"temperature": temperature} if takes_temperature(name) else {}
    try:
        return LOSSES[name](q, d, edges, **options)
    except ValueError:
        assume(False)  # nothing in this graph for this loss to learn from
        raise


def taught(graph: Graph) -> Graph:
    """The graph with a teacher's scores and vectors; grades no cosine could be are made smaller."""
    q, d, known = graph
    scores = torch.linspace(-1, 2, len(known.grade))
    dice = torch.Generator().manual_seed(1)
    vectors = tuple(torch.randn(len(one), one.shape[1], generator=dice) for one in (q, d))
    return q, d, Edges(
        known.query, known.document, known.grade / 2, known.excluded, scores, vectors
    )  # fmt: skip


def slow(name: str, q: Tensor, d: Tensor, edges: Edges, temperature: float) -> float:
    triples = zip(edges.query.tolist(), edges.document.tolist(), edges.grade.tolist(), strict=True)
    excluded = [] if edges.excluded is None else edges.excluded.tolist()
    options = {"temperature": temperature} if takes_temperature(name) else {}
    found: float = getattr(oracles, name)(
        q.tolist(), d.tolist(), list(triples), excluded=[tuple(pair) for pair in excluded],
        **options,
    )  # fmt: skip
    return found


def test_each_has_a_slow_twin() -> None:
    assert set(LOSSES) <= set(vars(oracles)) | set(vars(twins))


@of_all_pairs
@settings(deadline=None)
@given(graph=batches())
def test_equals_its_twin(name: str, graph: Graph) -> None:
    found = value(name, *graph, 0.2)
    assert found.item() == pytest.approx(slow(name, *graph, 0.2), rel=1e-5, abs=1e-6)


@of_all_pairs
@settings(max_examples=20, deadline=None)
@given(graph=batches())
def test_its_gradient_is_the_slope_of_its_twin(name: str, graph: Graph) -> None:
    q, d, edges = graph
    q, d = q.double(), d.double()
    leaves = [q.clone().requires_grad_(), d.clone().requires_grad_()]
    value(name, *leaves, edges, 0.5).backward()
    step = 1e-5
    for leaf, place in ((0, (0, 0)), (1, (0, 3)), (1, (len(d) - 1, 5))):
        moved = []
        for sign in (1, -1):
            both = [q.clone(), d.clone()]
            both[leaf][place] += sign * step
            moved.append(slow(name, *both, edges, 0.5))
        slope = (moved[0] - moved[1]) / (2 * step)
        assert leaves[leaf].grad[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


@every_loss
@settings(max_examples=30, deadline=None)
@given(graph=batches())
def test_only_directions_count(name: str, graph: Graph) -> None:
    q, d, edges = taught(graph)
    one = value(name, q, d, edges, 0.1)
    other = value(name, 7 * q, d / 3, edges, 0.1)
    assert one.item() == pytest.approx(other.item(), rel=1e-4, abs=1e-5)


@every_loss
@settings(max_examples=30, deadline=None)
@given(graph=batches())
def test_the_order_of_texts_and_edges_does_not_matter(name: str, graph: Graph) -> None:
    q, d, edges = taught(graph)
    rows, columns = torch.randperm(len(q)), torch.randperm(len(d))
    shuffled = torch.randperm(len(edges.grade))
    back_q, back_d = rows.argsort(), columns.argsort()
    assert edges.excluded is not None
    assert edges.score is not None
    assert edges.teacher is not None
    moved = Edges(
        back_q[edges.query][shuffled],
        back_d[edges.document][shuffled],
        edges.grade[shuffled],
        torch.stack([back_q[edges.excluded[:, 0]], back_d[edges.excluded[:, 1]]], dim=1),
        edges.score[shuffled],
        (edges.teacher[0][rows], edges.teacher[1][columns]),
    )
    one = value(name, q, d, edges, 0.1)
    other = value(name, q[rows], d[columns], moved, 0.1)
    assert one.item() == pytest.approx(other.item(), rel=1e-4, abs=1e-5)


@every_loss
@pytest.mark.parametrize("temperature", [0.001, 0.01, 100.0])
@settings(max_examples=30, deadline=None)
@given(graph=batches())
def test_no_temperature_makes_it_or_its_gradient_other_than_numbers(
    name: str, temperature: float, graph: Graph
) -> None:
    *vectors, edges = taught(graph)
    q, d = (one.clone().requires_grad_() for one in vectors)
    found = value(name, q, d, edges, temperature)
    found.backward()
    assert torch.isfinite(found)
    for leaf in (q, d):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()


@every_loss
@settings(max_examples=30, deadline=None)
@given(graph=batches())
def test_an_excluded_pair_is_neither_pulled_nor_pushed(name: str, graph: Graph) -> None:
    if name == "embedding_distillation":
        pytest.skip("looks at no pair at all")
    q, d, edges = taught(graph)
    assume(len(d) > 1)
    last = len(d) - 1
    gone = torch.stack([torch.arange(len(q)), torch.full((len(q),), last)], dim=1)
    if edges.score is not None:  # of an excluded pair it would be learned all the same
        edges = replace(edges, score=edges.score.masked_fill(edges.document == last, math.nan))
    moved = torch.cat([d[:last], torch.randn(1, d.shape[1])])
    one = value(name, q, d, edges.excluding(gone), 0.2)
    other = value(name, q, moved, edges.excluding(gone), 0.2)
    assert one.item() == pytest.approx(other.item(), rel=1e-4, abs=1e-5)


@every_loss
def test_low_precision_vectors_are_compared_in_float32(name: str) -> None:
    q = torch.nn.functional.normalize(torch.randn(4, 64), dim=1).bfloat16()
    d = torch.nn.functional.normalize(torch.randn(6, 64), dim=1).bfloat16()
    edges = Edges(torch.arange(4), torch.arange(4), torch.tensor([1.0, 0.5, 0.25, 1.0]))
    both = Edges(
        torch.cat([edges.query, edges.query]), torch.cat([edges.document, edges.document + 1]),
        torch.cat([edges.grade, edges.grade * 0]), teacher=(q.float(), d.float()),
    )  # fmt: skip
    low = value(name, q, d, both, 0.01)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(
        value(name, q.float(), d.float(), both, 0.01).item(), rel=1e-5
    )


@pytest.mark.parametrize("name", [name for name in LOSSES if takes_temperature(name)])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused(name: str, temperature: float) -> None:
    edges = Edges(torch.arange(2), torch.arange(2), torch.ones(2))
    with pytest.raises(BadSetting, match=r"loss\.temperature must be above 0"):
        LOSSES[name](torch.randn(2, 4), torch.randn(2, 4), edges, temperature=temperature)  # type: ignore[call-arg]
