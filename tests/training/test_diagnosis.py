"""What a batch shows is what loops over all its pairs show; each symptom is said once, in time."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from losses.graphs import batches, edges, one_answer_each
from oracles import cosine
from torch import Tensor

from nearfar.losses.edges import Edges
from nearfar.losses.infonce import infonce
from nearfar.training.diagnosis import diagnose
from nearfar.training.watch import Symptom, Watch

Row = dict[str, Any]


def told_by_loops(queries: Tensor, documents: Tensor, graph: Edges) -> dict[str, float]:
    q, d = queries.double().tolist(), documents.double().tolist()
    triples = zip(graph.query.tolist(), graph.document.tolist(), graph.grade.tolist(), strict=True)
    answers = {(i, j) for i, j, grade in triples if grade > 0}
    excluded = set() if graph.excluded is None else {(i, j) for i, j in graph.excluded.tolist()}
    pulled, known = answers - excluded, answers | excluded
    found: dict[str, float] = {}

    def note(name: str, values: Iterable[float]) -> None:
        if values := list(values):
            found[name] = math.fsum(values) / len(values)

    def distance(one: list[float], other: list[float]) -> float:
        a, b = math.hypot(*one), math.hypot(*other)
        return math.fsum((x / a - y / b) ** 2 for x, y in zip(one, other, strict=True))

    free = [[j for j in range(len(d)) if (i, j) not in known] for i in range(len(q))]
    note("alignment", (distance(q[i], d[j]) for i, j in pulled))
    note("positive_similarity", (cosine(q[i], d[j]) for i, j in pulled))
    note("chance_loss", (math.log(1 + len(free[i])) for i, _ in pulled))
    note(
        "hardest_negative_similarity",
        (max(cosine(q[i], d[j]) for j in free[i]) for i in range(len(q)) if free[i]),
    )
    note("uniformity", (math.exp(-2 * distance(a, b)) for k, a in enumerate(d) for b in d[:k]))
    if "uniformity" in found:
        found["uniformity"] = math.log(found["uniformity"])
    own = dict(pulled)  # one of its answers each
    pushed = [(i, j) for i in range(len(q)) for j in range(len(d)) if own.get(i) != j]
    found["masked_share"] = sum(pair in known for pair in pushed) / max(len(pushed), 1)
    return found


@given(batches())
def test_it_is_what_loops_over_all_pairs_find(batch: tuple[Tensor, Tensor, Edges]) -> None:
    found = diagnose(*batch)
    assert found == pytest.approx(told_by_loops(*batch), rel=1e-4, abs=1e-5)


@given(batches())
def test_half_precision_and_lengths_do_not_matter(batch: tuple[Tensor, Tensor, Edges]) -> None:
    queries, documents, graph = batch
    found = diagnose(queries.bfloat16() * 8, documents.bfloat16() / 4, graph)
    rounded = diagnose(queries.bfloat16().float(), documents.bfloat16().float(), graph)
    assert found == pytest.approx(rounded, rel=1e-5, abs=1e-6)


def test_under_autocast_it_is_the_same() -> None:
    batch = torch.randn(8, 16), torch.randn(8, 16), one_answer_each(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = diagnose(*batch)
    assert found == diagnose(*batch)


@given(batches())
def test_a_guess_has_the_loss_it_is_said_to_have(batch: tuple[Tensor, Tensor, Edges]) -> None:
    queries, documents, graph = batch
    same = infonce(torch.ones_like(queries), torch.ones_like(documents), graph)
    assert diagnose(queries, documents, graph)["chance_loss"] == pytest.approx(
        same.item(), abs=1e-5
    )


def test_a_pair_that_is_known_twice_counts_once() -> None:
    batch = torch.randn(2, 4), torch.randn(3, 4)
    once = edges((0, 0, 1.0), (1, 1, 1.0), excluded=[(0, 2)])
    twice = edges((0, 0, 1.0), (1, 1, 1.0), excluded=[(0, 2), (0, 2), (0, 2)])
    assert diagnose(*batch, once) == diagnose(*batch, twice)


def test_an_answer_that_is_excluded_is_neither_pulled_nor_pushed() -> None:
    batch = torch.randn(2, 4), torch.randn(3, 4)
    graph = edges((0, 0, 1.0), (0, 1, 1.0), (1, 1, 1.0), excluded=[(0, 1)])
    assert diagnose(*batch, graph) == pytest.approx(told_by_loops(*batch, graph), rel=1e-5)


def test_nothing_is_kept_for_a_backward_pass() -> None:
    queries, documents = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)

    def keep(tensor: Tensor) -> Tensor:
        raise AssertionError("a tensor was kept")

    with torch.autograd.graph.saved_tensors_hooks(keep, keep):
        diagnose(queries, documents, one_answer_each(3))


def test_a_sample_is_taken_evenly_and_what_is_counted_is_counted_over_all() -> None:
    queries, documents = torch.randn(10, 8), torch.randn(20, 8)
    graph = edges(*((i, 2 * i, 1.0) for i in range(10)), excluded=[(0, 8), (2, 1)])
    found = diagnose(queries, documents, graph, rows=5)
    # Queries 0, 2, 4, 6, 8 and their edges; documents 0, 4, 8, 12, 16 are their answers.
    small = edges(*((i, i, 1.0) for i in range(5)), excluded=[(0, 2)])
    sampled, whole = (
        diagnose(queries[::2], documents[::4], small),
        diagnose(queries, documents, graph),
    )
    assert sampled != whole
    for name in ("chance_loss", "masked_share"):
        assert found.pop(name) == whole[name]
        sampled.pop(name)
    assert found == sampled


def test_no_matrix_is_larger_than_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Sizes(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest = max(largest, result.numel())
            return result

    batch = torch.randn(600, 2), torch.randn(600, 2), one_answer_each(600)
    with Sizes():
        diagnose(*batch, rows=16)
    assert 600 <= largest <= 600 * 2  # all pairs would be 360,000


def test_what_a_batch_cannot_tell_is_left_out() -> None:
    one = torch.randn(1, 4)
    alone = diagnose(one, one, one_answer_each(1))
    assert alone["chance_loss"] == 0
    assert alone["masked_share"] == 0
    assert not {"uniformity", "hardest_negative_similarity"} & set(alone)
    unanswered = diagnose(torch.randn(2, 4), torch.randn(2, 4), edges((0, 0, 0.0)))
    assert set(unanswered) == {"masked_share", "uniformity", "hardest_negative_similarity"}


# ---- what is said ----

HEALTHY: Row = {
    "kind": "step", "loss": 1.0, "chance_loss": 4.16, "uniformity": -2.5, "masked_share": 0.01,
    "positive_similarity": 0.8, "hardest_negative_similarity": 0.5, "temperature": 0.05,
    "temperature_clamped": False,
}  # fmt: skip
SICK: dict[str, tuple[Row, int]] = {  # what shows it, and for how many rows before it is said
    "easy_negatives": ({"loss": 0.08}, 10),
    "no_negatives": ({"loss": 0.0, "chance_loss": 0.0}, 10),
    "collapse": ({"uniformity": -0.02}, 5),
    "pinned_temperature": ({"temperature": 0.01, "temperature_clamped": True}, 10),
    "many_masked": ({"masked_share": 0.3}, 5),
}


def shown(watch: Watch, rows: Iterable[Mapping[str, Any]]) -> list[Symptom]:
    return [symptom for row in rows for symptom in watch.see(row)]


def steps(changes: Row, count: int, first: int = 101) -> list[Row]:
    return [{**HEALTHY, **changes, "step": first + i} for i in range(count)]


def checks(*scores: float) -> list[Row]:
    rows = enumerate(scores)
    return [{"kind": "dev", "step": 10 * i, "ndcg_at_10_score": s, "mrr": 1 - s} for i, s in rows]


def test_nothing_is_said_of_a_run_that_is_well() -> None:
    assert not shown(Watch(), steps({}, 50, first=1) + checks(0.3, 0.4, 0.35, 0.5))


@pytest.mark.parametrize("name", SICK)
def test_each_is_said_once_and_not_before_its_time(name: str) -> None:
    changes, count = SICK[name]
    watch = Watch()
    assert not shown(watch, steps(changes, count - 1))
    [symptom] = shown(watch, steps(changes, 1, first=777))
    assert (symptom.name, symptom.step) == (name, 777)
    assert "777" in symptom.text
    assert not shown(watch, steps({}, 5) + steps(changes, 50))


@pytest.mark.parametrize("name", SICK)
def test_what_does_not_last_is_not_said(name: str) -> None:
    changes, count = SICK[name]
    assert not shown(Watch(), 3 * (steps(changes, count - 1) + steps({}, 1)))


@pytest.mark.parametrize("name", SICK)
def test_what_was_said_before_a_stop_is_not_said_again(name: str) -> None:
    changes, _ = SICK[name]
    assert not shown(Watch(said=[name]), steps(changes, 50))
    assert len(shown(Watch(said=["below_base"]), steps(changes, 50))) == 1


def test_a_warning_of_the_log_is_not_said_again() -> None:
    watch = Watch()
    changes, count = SICK["many_masked"]
    [symptom] = shown(Watch(), steps(changes, count))
    watch.replay([symptom.row])
    assert not shown(watch, steps(changes, 50))


def test_a_base_that_begins_in_one_cone_may_open() -> None:
    watch = Watch()
    assert not shown(watch, steps({"uniformity": -0.02}, 24, first=1))
    assert shown(watch, steps({"uniformity": -0.02}, 1, first=25))[0].name == "collapse"


def test_one_place_is_a_mean_cosine_of_98_percent() -> None:
    def around(mean: float) -> float:
        # Documents at equal angles to each other, whose cosines are all `mean`.
        rows = torch.eye(64) * math.sqrt(1 - mean)
        rows = torch.cat([rows, torch.full((64, 1), math.sqrt(mean))], dim=1)
        return diagnose(rows, rows, one_answer_each(64))["uniformity"]

    for mean, expected in ((0.985, ["collapse"]), (0.975, [])):
        rows = steps({"uniformity": around(mean)}, 20)
        assert [symptom.name for symptom in shown(Watch(), rows)] == expected


@pytest.mark.parametrize("missing", ["chance_loss", "uniformity", "temperature_clamped"])
def test_rows_that_do_not_say_it_are_passed_over(missing: str) -> None:
    name = {"chance_loss": "easy_negatives", "uniformity": "collapse"}.get(
        missing, "pinned_temperature"
    )
    changes, count = SICK[name]
    silent = [{k: v for k, v in row.items() if k != missing} for row in steps(changes, 50)]
    assert not shown(Watch(), silent)
    # Where tasks take turns, what one does not say does not hide what the other does.
    turns = [row for pair in zip(silent, steps(changes, count), strict=False) for row in pair]
    assert [symptom.name for symptom in shown(Watch(), turns)] == [name]


@pytest.mark.parametrize(
    ("scores", "said_at"),
    [
        ((0.5, 0.4), []),
        ((0.5, 0.4, 0.6, 0.4, 0.6), []),
        ((0.5, 0.5, 0.5, 0.5), []),
        ((0.5, 0.6, 0.4, 0.45, 0.3, 0.2), [30]),  # below the base, not below the one before
        ((0.5, 0.9, 0.8, 0.7), []),
    ],
)
def test_dev_below_the_base_at_two_checks_in_a_row(scores: list[float], said_at: list[int]) -> None:
    found = shown(Watch(), checks(*scores))
    assert [(symptom.name, symptom.step) for symptom in found] == [
        ("below_base", step) for step in said_at
    ]
    for symptom in found:
        assert "0.4500 after step 30, 0.5000 before the first" in symptom.text


@pytest.mark.parametrize("stop", range(0, 60, 7))
def test_a_run_that_goes_on_says_what_one_that_never_stopped_says(stop: int) -> None:
    rows = steps(SICK["easy_negatives"][0], 12) + checks(0.5, 0.4, 0.3) + steps(
        SICK["collapse"][0], 12
    ) + steps(SICK["many_masked"][0], 12) + steps(SICK["easy_negatives"][0], 21)  # fmt: skip
    whole = shown(Watch(), rows)
    assert {symptom.name for symptom in whole} == {
        "easy_negatives", "below_base", "collapse", "many_masked",
    }  # fmt: skip
    first, log = Watch(), []
    for row in rows[:stop]:
        log += [row, *(symptom.row for symptom in first.see(row))]
    second = Watch()
    second.replay(json.loads(json.dumps(log)))
    said = [
        Symptom(row["name"], row["step"], row["text"]) for row in log if row["kind"] == "warning"
    ]
    assert said + shown(second, rows[stop:]) == whole


def test_every_sentence_is_filled_in() -> None:
    found = shown(Watch(), checks(0.5, 0.4, 0.3))
    for changes, count in SICK.values():
        found += shown(Watch(), steps(changes, count))
    assert {symptom.name for symptom in found} == {*SICK, "below_base"}
    for symptom in found:
        assert not set("{}") & set(symptom.text)
        assert symptom.text.count(". ") >= 2  # what was seen, what it means, what to do
