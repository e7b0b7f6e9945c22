"""The temperature of a run: fixed, on its way to an end, or learned; the log says which it was."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from looking import infonce_of, steps_of, unmoved, vectors_of

from nearfar.data.dataset import Dataset
from nearfar.losses import LossSettings
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Task, open_course
from nearfar.training.settings import Training, learning_rate_at
from nearfar.training.train import train

Go = Callable[..., list[dict[str, float]]]
STEPS = 6


@pytest.fixture
def go(bert: Path, dataset: Dataset, tmp_path: Path) -> Go:
    def go(where: str, loss: LossSettings, **changes: object) -> list[dict[str, float]]:
        learner = TextEncoder.load(bert, TextSettings(precision="float32"))
        kept: dict[str, object] = {
            "pairs_per_step": 8,
            "epochs": 4,
            "max_steps": STEPS,
            "checks": 1,
        }
        settings = Training(**(kept | changes))  # type: ignore[arg-type]
        train(learner, Task(dataset=dataset, loss=loss), tmp_path / where, settings)
        return steps_of(tmp_path / where)

    return go


@pytest.fixture
def expected(bert: Path, dataset: Dataset, tmp_path: Path) -> Callable[[int, float], float]:
    """The loss of a step, by the slow twin, of a model that has not learned."""
    learner = TextEncoder.load(bert, TextSettings(precision="float32"))
    (tmp_path / "slow").mkdir()
    settings = Training(pairs_per_step=8, epochs=4, max_steps=STEPS)
    course = open_course(tmp_path / "slow", [Task(dataset=dataset)], settings, learner.tokens)

    def expected(step: int, temperature: float) -> float:
        _, batch = course[step]
        queries, documents = vectors_of(learner, course.stores[0], batch)
        return infonce_of(queries, documents, batch.edges, temperature)

    return expected


@pytest.mark.parametrize("end", [0.4, 0.02])
def test_it_goes_evenly_from_its_beginning_to_its_end(
    go: Go, expected: Callable[[int, float], float], end: float
) -> None:
    found = go("run", LossSettings(temperature=0.1, temperature_at_end=end), **unmoved())
    wanted = [0.1 + (end - 0.1) * step / 5 for step in range(STEPS)]
    assert [row["temperature"] for row in found] == pytest.approx(wanted, rel=1e-6)
    losses = [expected(step, temperature) for step, temperature in enumerate(wanted)]
    assert [row["loss"] for row in found] == pytest.approx(losses, abs=1e-4)
    assert all("temperature_clamped" not in row for row in found)


def test_a_fixed_one_stays(go: Go) -> None:
    found = go("run", LossSettings(temperature=0.1), learning_rate=1e-2)
    assert [row["temperature"] for row in found] == pytest.approx([0.1] * STEPS)


def test_a_run_of_one_step_begins_at_the_beginning(go: Go) -> None:
    [row] = go("run", LossSettings(temperature=0.1, temperature_at_end=0.9), max_steps=1)
    assert row["temperature"] == pytest.approx(0.1)


def test_updates_and_not_batches_are_what_it_counts(go: Go) -> None:
    loss = LossSettings(temperature=0.1, temperature_at_end=0.4)
    found = go("run", loss, batches_per_update=2, max_steps=8)
    assert [row["temperature"] for row in found] == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("begin", [0.02, 0.9])
def test_a_learned_one_moves_to_where_the_loss_is_lower(
    go: Go, expected: Callable[[int, float], float], begin: float
) -> None:
    pace, settings = 100, {"learning_rate": 1e-3, "weight_decay": 0.5, "checks": 1}
    found = go("run", LossSettings(temperature=begin, learn_temperature=True), **settings)
    # The first step of Adam is as long as the learning rate, whatever the slope; nothing decays.
    rate = learning_rate_at(0, STEPS, Training(learning_rate=1e-3))
    warmer, colder = expected(0, begin * 1.01), expected(0, begin / 1.01)
    way = 1 if warmer < colder else -1
    wanted = begin * math.exp(way * pace * rate)
    assert found[0]["temperature"] == pytest.approx(begin)
    assert found[1]["temperature"] == pytest.approx(min(wanted, 1.0), rel=1e-3)
    assert len({row["temperature"] for row in found}) == STEPS


def test_a_learned_one_stays_within_its_ends_and_says_where_it_met_them(go: Go) -> None:
    bounds = {"least_temperature": 0.04, "highest_temperature": 0.055}
    loss = LossSettings(temperature=0.05, learn_temperature=True, **bounds)  # type: ignore[arg-type]
    found = go("run", loss, learning_rate=3e-3)
    temperatures = [row["temperature"] for row in found]
    assert all(0.04 - 1e-6 <= temperature <= 0.055 + 1e-6 for temperature in temperatures)
    met = [row["temperature_clamped"] for row in found]
    assert 0 < sum(met) < STEPS
    for clamped, after in zip(met, temperatures[1:], strict=False):
        at_an_end = min(abs(after - 0.04), abs(after - 0.055)) < 1e-6
        assert clamped == at_an_end


def test_a_learned_one_is_each_tasks_own(bert: Path, dataset: Dataset, tmp_path: Path) -> None:
    learner = TextEncoder.load(bert, TextSettings(precision="float32"))
    tasks = [
        Task(dataset=dataset, loss=LossSettings(temperature=0.9, learn_temperature=True)),
        Task(dataset=dataset, loss=LossSettings(temperature=0.03)),
    ]
    settings = Training(pairs_per_step=8, max_steps=8, checks=1, learning_rate=1e-3)
    train(learner, tasks, tmp_path / "run", settings)
    course = open_course(tmp_path / "run", tasks, settings, learner.tokens)
    of = [course[step][0] for step in range(8)]
    temperatures = [row["temperature"] for row in steps_of(tmp_path / "run")]
    fixed = [t for task, t in zip(of, temperatures, strict=True) if task == 1]
    moving = [t for task, t in zip(of, temperatures, strict=True) if task == 0]
    assert fixed == pytest.approx([0.03] * 4)
    assert len(set(moving)) == len(moving) > 1
