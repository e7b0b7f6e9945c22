"""What stands around any loss."""

import pytest
import torch
from graphs import batches, edges, one_answer_each
from hypothesis import assume, given, settings
from oracles import cosine
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.losses import LOSSES, Edges, LossSettings, build_loss
from nearfar.losses.around import layered, matryoshka, quantised, without_false_negatives
from nearfar.losses.infonce import infonce
from nearfar.losses.spread import spread_out

Graph = tuple[Tensor, Tensor, Edges]
every_loss = pytest.mark.parametrize("name", LOSSES)


def with_a_teacher(graph: Graph) -> Graph:
    q, d, known = graph
    scores = torch.arange(len(known.grade)) * 0.5
    return q, d, Edges(known.query, known.document, known.grade, known.excluded, scores, (q, d))


@every_loss
@given(graph=batches())
@settings(max_examples=10, deadline=None)
def test_matryoshka_is_the_mean_over_prefixes(name: str, graph: Graph) -> None:
    q, d, known = with_a_teacher(graph)
    if name == "embedding_distillation":
        pytest.skip("compares whole vectors with those of a teacher")
    try:
        LOSSES[name](q, d, known)
    except ValueError:
        assume(False)  # nothing in this graph for this loss to learn from
    found = matryoshka(LOSSES[name], [2, 4, 6])(q, d, known)
    each = [LOSSES[name](q[:, :n], d[:, :n], known) for n in (2, 4, 6)]
    assert found.item() == pytest.approx(sum(one.item() for one in each) / 3, rel=1e-4, abs=1e-5)


def test_a_shorter_prefix_feels_only_its_own_numbers() -> None:
    q = torch.randn(3, 6, requires_grad=True)
    matryoshka(infonce, [2])(q, torch.randn(3, 6), one_answer_each(3)).backward()
    assert q.grad[:, :2].abs().max() > 0
    assert q.grad[:, 2:].abs().max() == 0


@pytest.mark.parametrize("dims", [[], [0, 2], [2, 2], [-1]])
def test_dimensions_that_are_none_are_refused(dims: list[int]) -> None:
    with pytest.raises(BadSetting, match=r"loss\.matryoshka must be different dimensions"):
        matryoshka(infonce, dims)


def test_more_dimensions_than_a_vector_has_are_refused() -> None:
    with pytest.raises(BadSetting, match="at most the 2 numbers of a vector"):
        matryoshka(infonce, [1, 3])(torch.eye(2), torch.eye(2), one_answer_each(2))


def test_layers_stand_side_by_side() -> None:
    q, d = torch.randn(3, 8), torch.randn(3, 8)
    graph = one_answer_each(3)
    found = layered(infonce, 2)(q, d, graph)
    each = [infonce(q[:, part], d[:, part], graph) for part in (slice(0, 4), slice(4, 8))]
    assert found.item() == pytest.approx(sum(one.item() for one in each) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["int8", "binary"])
def test_rounded_vectors_have_the_slope_of_vectors_that_are_not(kind: str) -> None:
    q, d = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    plain = infonce(q, d, one_answer_each(4), temperature=0.5)
    both = quantised(infonce, kind)(q, d, one_answer_each(4), temperature=0.5)
    assert both.item() != plain.item()
    both.backward()
    assert q.grad.isfinite().all()
    assert q.grad.abs().min() > 0  # rounding alone would have a slope of zero


def test_binary_vectors_are_signs() -> None:
    q, d = torch.tensor([[0.9, -0.1]]), torch.tensor([[0.2, 0.8], [-0.5, -0.4]])
    graph = edges((0, 0, 1.0))
    rounded = infonce(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), graph)
    found = quantised(infonce, "binary")(q, d, graph)
    assert found.item() == pytest.approx((rounded + infonce(q, d, graph)).item() / 2, rel=1e-5)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@given(graph=batches())
@settings(max_examples=25, deadline=None)
def test_what_is_as_near_as_the_answer_is_no_negative(
    margin: float, relative: bool, graph: Graph
) -> None:
    q, d, known = graph
    answers = {(i, j) for i, j, g in zip(known.query.tolist(), known.document.tolist(),
                                         known.grade.tolist(), strict=True) if g > 0}  # fmt: skip
    excluded = set(map(tuple, known.excluded.tolist()))
    hidden = set()
    for i in range(len(q)):
        bars = []
        for one, j in answers:
            if one == i:
                own = cosine(q[i].tolist(), d[j].tolist())
                bars.append(own - margin * (abs(own) if relative else 1))
        for k in range(len(d)):
            near = bars and cosine(q[i].tolist(), d[k].tolist()) > max(bars)
            if near and (i, k) not in answers:
                hidden.add((i, k))
    found = without_false_negatives(infonce, by="itself", margin=margin, relative=relative)
    expected = infonce(q, d, known.excluding(torch.tensor(sorted(hidden | excluded)).reshape(-1, 2)
                                             .long()), temperature=0.2)  # fmt: skip
    assert found(q, d, known, temperature=0.2).item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_teacher_decides_by_its_own_vectors() -> None:
    q, d = torch.eye(2), torch.eye(2)
    graph = one_answer_each(2)
    blind = Edges(
        graph.query, graph.document, graph.grade, teacher=(torch.ones(2, 1), d[:, :1] + 1)
    )
    told = Edges(graph.query, graph.document, graph.grade, teacher=(torch.eye(2), torch.eye(2)))
    filtered = without_false_negatives(infonce, by="teacher", margin=0.1)
    assert filtered(q, d, blind).item() == 0  # all alike: nothing is a negative
    assert filtered(q, d, told).item() > 0  # and here nothing is hidden
    with pytest.raises(BadSetting, match="used with a teacher"):
        filtered(q, d, graph)


@given(graph=batches())
@settings(max_examples=30, deadline=None)
def test_spread_equals_its_twin(graph: Graph) -> None:
    import oracles

    q, d, known = graph
    triples = list(zip(known.query.tolist(), known.document.tolist(), known.grade.tolist(),
                       strict=True))  # fmt: skip
    excluded = [tuple(pair) for pair in known.excluded.tolist()]
    expected = oracles.spread_out(q.tolist(), d.tolist(), triples, excluded=excluded)
    assert spread_out(q, d, known).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_all_of_them_can_stand_around_one_loss() -> None:
    chosen = LossSettings(
        matryoshka=(2, 4), layers=(1,), quantisation="binary", false_negatives="itself",
        spread_weight=0.1, options={"directions": ["query_to_document", "document_to_query"]},
    )  # fmt: skip
    q = torch.randn(3, 8, requires_grad=True)
    value = build_loss(chosen)(q, torch.randn(3, 8), one_answer_each(3), 0.1)
    value.backward()
    assert value.isfinite()
    assert q.grad.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "info"}, r"loss\.name must be one of infonce"),
        ({"temperature": 0.0}, r"loss\.temperature must be above 0"),
        ({"temperature_at_end": -1.0}, r"loss\.temperature_at_end must be above 0"),
        ({"least_temperature": 2.0}, r"loss\.least_temperature must be above 0, below"),
        ({"learn_temperature": True, "temperature": 5.0}, "0.01 to 1.0 to be learned"),
        ({"options": {"hardnes": 1}}, r"loss\.options\.hardnes .* Did you mean 'hardness'"),
        ({"options": {"hardness": -1}}, r"loss\.hardness must be 0 or more"),
        ({"options": {"hardness": "x"}}, r"loss\.options of infonce: .* do not fit"),
        ({"quantisation": "int4"}, r"loss\.quantisation must be one of int8, binary"),
        ({"false_negatives": "luck"}, r"loss\.false_negatives must be one of teacher, itself"),
        ({"matryoshka": (0,)}, r"loss\.matryoshka must be different dimensions"),
        ({"spread_weight": -1.0}, r"loss\.spread_weight must be 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        LossSettings(**changes)  # type: ignore[arg-type]
