"""Losses of pairs, triplets, order and distillation equal their twins, in value and slope."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import twins
from graphs import batches, edges, one_answer_each
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.util import pairwise_angle_sim
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses import LOSSES, Edges
from nearfar.losses.distillation import embedding_distillation, listwise_infonce, listwise_kl
from nearfar.losses.distillation import margin_mse as margin_mse_loss
from nearfar.losses.pairs import contrastive, cosine_mse, online_contrastive
from nearfar.losses.ranking import angle, cosent
from nearfar.losses.triplet import triplet

Graph = tuple[Tensor, Tensor, Edges]


def triples(graph: Edges, values: Tensor) -> list[tuple[int, int, float]]:
    lists = (graph.query.tolist(), graph.document.tolist(), values.tolist())
    return list(zip(*lists, strict=True))


def hidden(graph: Edges) -> list[tuple[int, int]]:
    return [] if graph.excluded is None else [tuple(pair) for pair in graph.excluded.tolist()]


def check(
    graph: Graph, loss: Callable[..., Tensor], twin: Callable[..., float], options: dict[str, Any],
    renamed: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """Compare value and slopes with those of the twin."""
    q, d = (vectors.double().requires_grad_() for vectors in graph[:2])
    value = loss(q, d, graph[2], **options)
    value.backward()
    known = graph[2]
    facts = triples(known, known.grade if known.score is None else known.score)
    theirs = {(renamed or {}).get(name, name): option for name, option in options.items()}

    def slow(queries: Tensor, documents: Tensor) -> float:
        return twin(queries.tolist(), documents.tolist(), facts, excluded=hidden(known), **theirs)

    assert value.item() == pytest.approx(slow(q, d), rel=1e-5, abs=1e-7)
    step = 1e-6
    for leaf, place in ((0, (0, 1)), (1, (len(d) - 1, 4))):
        both = [q.detach().clone(), d.detach().clone()]
        both[leaf][place] += step
        up = slow(*both)
        both[leaf][place] -= 2 * step
        slope = (up - slow(*both)) / (2 * step)
        assert (q, d)[leaf].grad[place].item() == pytest.approx(slope, rel=1e-3, abs=1e-5)


def judged_some(graph: Graph) -> bool:
    return bool(graph[2].allowed.any())


@given(graph=batches().filter(judged_some), margin=st.sampled_from([0.5, 1.5]))
@settings(max_examples=40, deadline=None)
def test_contrastive(graph: Graph, margin: float) -> None:
    check(graph, contrastive, twins.contrastive, {"margin": margin})


@given(graph=batches().filter(judged_some))
@settings(max_examples=40, deadline=None)
def test_online_contrastive(graph: Graph) -> None:
    check(graph, online_contrastive, twins.online_contrastive, {"margin": 0.9})


@given(graph=batches().filter(judged_some))
@settings(max_examples=40, deadline=None)
def test_cosine_mse(graph: Graph) -> None:
    q, d, known = graph
    halved = Edges(known.query, known.document, known.grade / 2, known.excluded)
    check((q, d, halved), cosine_mse, twins.cosine_mse, {})


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("select", ["all", "hardest", "semihard"])
@given(graph=batches(), negatives=st.sampled_from(["own", "batch"]), soft=st.booleans())
@settings(max_examples=30, deadline=None)
def test_triplet(graph: Graph, distance: str, select: str, negatives: str, soft: bool) -> None:
    options = {"distance": distance, "select": select, "negatives": negatives, "soft": soft,
               "margin": 0.4}  # fmt: skip
    check(graph, triplet, twins.triplet, options, {"distance": "kind"})


@pytest.mark.parametrize("loss", [cosent, angle], ids=["cosent", "angle"])
@given(graph=batches().filter(judged_some))
@settings(max_examples=40, deadline=None)
def test_losses_of_order(graph: Graph, loss: Callable[..., Tensor]) -> None:
    check(graph, loss, getattr(twins, loss.__name__), {"temperature": 0.3})


def test_angle_is_the_angle_of_the_field() -> None:
    q, d = torch.randn(5, 7), torch.randn(5, 7)
    grades = torch.arange(5.0)
    graph = Edges(torch.arange(5), torch.arange(5), grades)
    likeness = pairwise_angle_sim(q, d).tolist()
    expected = twins.in_order(likeness, grades.tolist(), 0.05)
    assert angle(q, d, graph).item() == pytest.approx(expected, rel=1e-4)


@st.composite
def scored(draw: st.DrawFn) -> Graph:
    """A graph whose edges carry a teacher's scores, some of them none."""
    q, d, known = draw(batches())
    scores = st.sampled_from([-1.5, 0.0, 0.5, 2.0, math.nan])
    found = draw(st.lists(scores, min_size=len(known.grade), max_size=len(known.grade)))
    given_ = torch.tensor(found)
    return q, d, Edges(known.query, known.document, known.grade, known.excluded, given_)


def lists_of(graph: Graph) -> dict[int, list[tuple[int, float, float]]]:
    known = graph[2]
    assert known.score is not None
    facts = triples(known, known.score)
    return twins.lists(graph[0].tolist(), graph[1].tolist(), facts, hidden(known))


def tells_apart(graph: Graph) -> bool:
    return any(len({score for *_, score in row}) > 1 for row in lists_of(graph).values())


def has_lists(graph: Graph) -> bool:
    return any(len(row) > 1 for row in lists_of(graph).values())


@given(graph=scored().filter(tells_apart))
@settings(max_examples=30, deadline=None)
def test_margin_mse(graph: Graph) -> None:
    check(graph, margin_mse_loss, twins.margin_mse, {"temperature": 0.5})


@given(graph=scored().filter(has_lists))
@settings(max_examples=30, deadline=None)
def test_listwise_kl(graph: Graph) -> None:
    check(graph, listwise_kl, twins.listwise_kl, {"temperature": 0.5, "teacher_temperature": 2.0})


@given(graph=scored().filter(lambda graph: bool(lists_of(graph))))
@settings(max_examples=30, deadline=None)
def test_listwise_infonce(graph: Graph) -> None:
    known = graph[2]
    answers = [(q, d) for q, d, grade in triples(known, known.grade) if grade > 0]

    def twin(*tables: Any, **options: Any) -> float:
        return twins.listwise_infonce(*tables, answers=answers, **options)

    check(graph, listwise_infonce, twin, {"temperature": 0.5, "teacher_temperature": 2.0})


def test_a_list_of_one_teaches_nothing() -> None:
    q, d = torch.randn(2, 4, requires_grad=True), torch.randn(3, 4)
    known = edges((0, 0, 1.0), (1, 1, 1.0), (1, 2, 0.5))
    listwise_kl(q, d, known).backward()
    assert q.grad[0].abs().max() == 0
    assert q.grad[1].abs().max() > 0


def test_the_teacher_is_not_taught() -> None:
    theirs = torch.randn(2, 4, requires_grad=True)
    known = one_answer_each(2)
    taught = Edges(known.query, known.document, known.grade, teacher=(theirs, theirs))
    q = torch.randn(2, 4, requires_grad=True)
    embedding_distillation(q, torch.randn(2, 4), taught).backward()
    assert theirs.grad is None
    assert q.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["margin_mse", "listwise_kl", "listwise_infonce"])
def test_neither_are_the_teachers_scores(name: str) -> None:
    known = edges((0, 0, 1.0), (0, 1, 0.5))
    theirs = torch.tensor([2.0, -1.0], requires_grad=True)
    q = torch.randn(1, 4, requires_grad=True)
    taught = Edges(known.query, known.document, known.grade, score=theirs)
    LOSSES[name](q, torch.randn(3, 4), taught).backward()
    assert theirs.grad is None
    assert q.grad.abs().max() > 0


def test_vectors_are_brought_where_the_teacher_has_them() -> None:
    q, d = torch.randn(2, 4), torch.randn(3, 4)
    known = one_answer_each(2)
    taught = Edges(known.query, known.document, known.grade, teacher=(2 * q, d / 5))
    assert embedding_distillation(q, d, taught).item() == pytest.approx(0, abs=1e-6)
    other = torch.randn(2, 4), torch.randn(3, 4)
    apart = Edges(known.query, known.document, known.grade, teacher=other)
    expected = twins.embedding_distillation(
        q.tolist(), d.tolist(), (other[0].tolist(), other[1].tolist())
    )
    assert embedding_distillation(q, d, apart).item() == pytest.approx(expected, rel=1e-5)
    wide = torch.cat([q, d]).repeat(1, 3)  # of another dimension, but with the same cosines
    related = Edges(known.query, known.document, known.grade, teacher=(wide[:2], wide[2:]))
    assert embedding_distillation(q, d, related, relations=True).item() == pytest.approx(
        0, abs=1e-6
    )
    with pytest.raises(BadSetting, match="expected a teacher with 4 dimensions, found 12"):
        embedding_distillation(q, d, related)
    with pytest.raises(BadSetting, match="needs a teacher"):
        embedding_distillation(q, d, known)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("contrastive", {"margin": 0.0}, r"loss\.margin must be above 0, up to 2"),
        ("online_contrastive", {"margin": 3.0}, r"loss\.margin must be above 0, up to 2"),
        ("triplet", {"margin": -0.1}, r"loss\.margin must be 0 or more"),
        ("triplet", {"distance": "hamming"}, r"loss\.distance must be one of cosine"),
        ("triplet", {"select": "easy"}, r"loss\.select must be one of all"),
        ("triplet", {"negatives": "none"}, r"loss\.negatives must be one of batch, own"),
        ("listwise_kl", {"teacher_temperature": 0.0}, r"loss\.teacher_temperature must be above 0"),
    ],
)
def test_options_out_of_range_are_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        LOSSES[name](torch.eye(2), torch.eye(2), edges((0, 0, 1.0), (0, 1, 0.0)), **options)  # type: ignore[call-arg]


def test_a_grade_that_no_cosine_can_be_is_refused() -> None:
    with pytest.raises(ValueError, match="grades of 0 to 1, got 4"):
        cosine_mse(torch.eye(2), torch.eye(2), edges((0, 0, 4.0)))
