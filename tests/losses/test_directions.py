"""InfoNCE in any direction, joined or not, with hardness and own negatives: a twin by loops."""

import itertools
import math

import oracles
import pytest
import torch
from graphs import batches, edges, one_answer_each
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses.edges import Edges
from nearfar.losses.infonce import infonce
from nearfar.losses.sums import DIRECTIONS

Graph = tuple[Tensor, Tensor, Edges]
some_directions = st.lists(st.sampled_from(DIRECTIONS), min_size=1, unique=True)


def slow(
    graph: Graph, directions: list[str], joint: bool, hardness: float, negatives: str, t: float
) -> float:
    q, d = graph[0].tolist(), graph[1].tolist()
    edge_list = list(zip(*(x.tolist() for x in (graph[2].query, graph[2].document)), strict=True))
    grades = dict(zip(edge_list, graph[2].grade.tolist(), strict=True))
    excluded = set() if graph[2].excluded is None else set(map(tuple, graph[2].excluded.tolist()))
    answers = {pair for pair, grade in grades.items() if grade > 0}
    known = answers | excluded

    def weight(one: list[float], other: list[float]) -> float:
        cosine = oracles.cosine(one, other)
        return math.exp(cosine / t + hardness * cosine)

    def sums(direction: str, i: int, j: int) -> float:
        if negatives == "own":
            wrong = {pair for pair, grade in grades.items() if grade == 0} - excluded
            if direction == "query_to_document":
                return math.fsum(weight(q[i], d[k]) for k in range(len(d)) if (i, k) in wrong)
            return math.fsum(weight(d[j], q[k]) for k in range(len(q)) if (k, j) in wrong)
        if direction == "query_to_document":
            return math.fsum(weight(q[i], d[k]) for k in range(len(d)) if (i, k) not in known)
        if direction == "document_to_query":
            return math.fsum(weight(q[k], d[j]) for k in range(len(q)) if (k, j) not in known)
        if direction == "query_to_query":
            kin = {k for k in range(len(q)) for c in range(len(d)) if {(i, c), (k, c)} <= known}
            return math.fsum(weight(q[i], q[k]) for k in range(len(q)) if k not in kin | {i})
        kin = {k for k in range(len(d)) for r in range(len(q)) if {(r, j), (r, k)} <= known}
        return math.fsum(weight(d[j], d[k]) for k in range(len(d)) if k not in kin | {j})

    found = []
    for i, j in sorted(answers):
        own = math.exp(oracles.cosine(q[i], d[j]) / t)
        each = [sums(direction, i, j) for direction in directions]
        each = [math.fsum(each)] if joint else each
        found.append(math.fsum(-math.log(own / (own + one)) for one in each) / len(each))
    return math.fsum(found) / len(found)


@settings(max_examples=60, deadline=None)
@given(graph=batches(), directions=some_directions, joint=st.booleans(),
       hardness=st.sampled_from([0.0, 2.0]))  # fmt: skip
def test_every_choice_equals_its_twin(
    graph: Graph, directions: list[str], joint: bool, hardness: float
) -> None:
    found = infonce(*graph, temperature=0.3, directions=directions, joint=joint, hardness=hardness)
    expected = slow(graph, directions, joint, hardness, "batch", 0.3)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(graph=batches(), joint=st.booleans())
def test_own_negatives_alone_equal_their_twin(graph: Graph, joint: bool) -> None:
    directions = list(DIRECTIONS[:2])
    found = infonce(*graph, temperature=0.3, directions=directions, joint=joint, negatives="own")
    expected = slow(graph, directions, joint, 0.0, "own", 0.3)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(graph=batches(), directions=some_directions, joint=st.booleans())
def test_its_gradient_is_the_slope_of_its_twin(
    graph: Graph, directions: list[str], joint: bool
) -> None:
    q, d = (vectors.double().requires_grad_() for vectors in graph[:2])
    hot = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    infonce(q, d, graph[2], temperature=hot, directions=directions, joint=joint).backward()
    step = 1e-5
    for leaf, place in ((0, (0, 0)), (1, (len(d) - 1, 3)), (2, ())):
        moved = []
        for sign in (1, -1):
            both = [v.detach().clone() for v in (q, d, hot)]
            both[leaf][place] += sign * step
            moved.append(
                slow((both[0], both[1], graph[2]), directions, joint, 0.0, "batch", both[2].item())
            )
        slope = (moved[0] - moved[1]) / (2 * step)
        assert (q, d, hot)[leaf].grad[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(graph=batches(), hardness=st.sampled_from([0.0, 1.0]))
def test_the_fast_road_and_the_one_by_sums_are_the_same(graph: Graph, hardness: float) -> None:
    gradients = []
    for joint in (False, True):  # alone, a direction is the same joined, and goes by sums
        q, d = (vectors.clone().requires_grad_() for vectors in graph[:2])
        value = infonce(q, d, graph[2], temperature=0.1, joint=joint, hardness=hardness)
        value.backward()
        gradients.append((value.detach(), q.grad, d.grad))
    for one, other in itertools.starmap(lambda *pair: pair, zip(*gradients, strict=True)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_batch_of_strangers_that_share_nothing_pushes_queries_apart() -> None:
    q, d = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    infonce(q, d, one_answer_each(3), directions=["query_to_query"], temperature=1.0).backward()
    assert q.grad.abs().max() > 0


def test_queries_with_an_answer_in_common_are_not_pushed_apart() -> None:
    q, d = torch.randn(2, 4), torch.randn(1, 4)
    value = infonce(q, d, edges((0, 0, 1.0), (1, 0, 1.0)), directions=["query_to_query"])
    assert value.item() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": []}, r"loss\.directions must be some, each once"),
        ({"directions": ["query_to_document"] * 2}, r"loss\.directions must be some, each once"),
        ({"directions": ["sideways"]}, r"loss\.directions must be one of query_to_document"),
        ({"hardness": -1.0}, r"loss\.hardness must be 0 or more"),
        ({"negatives": "all"}, r"loss\.negatives must be one of batch, own"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        infonce(torch.eye(2), torch.eye(2), one_answer_each(2), **options)  # type: ignore[arg-type]
