"""What may not change what is learned, does not; what is to be averaged, is."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from looking import furthest, losses_of, steps_of, unmoved, weights_of
from tiny import tiny_bert
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.losses import Edges, LossSettings, build_loss
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Course, Task, open_course
from nearfar.training.settings import Training
from nearfar.training.step import Step, learn_from
from nearfar.training.train import Hooks, TrainingResult, train

SETTINGS = Training(
    pairs_per_step=8, epochs=2, max_steps=4, checks=2, dropout=0.1, learning_rate=1e-3
)
COMPILERS = ("c++", "g++", "clang++")


@pytest.fixture
def go(bert: Path, dataset: Dataset) -> Callable[..., TrainingResult]:
    def go(folder: Path, hooks: Hooks | None = None, **changes: object) -> TrainingResult:
        learner = TextEncoder.load(bert, TextSettings(precision="float32"))
        return train(learner, Task(dataset=dataset), folder, replace(SETTINGS, **changes), hooks)

    return go


class Passes:
    """A check that counts from then on how often a layer is computed."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self, encoder: TextEncoder) -> dict[str, float]:
        if not self.done:
            layer = encoder.network.transformer.encoder.layer[1]
            layer.attention.output.dense.register_forward_hook(self._count)
        return {"score": float(self.done)}

    def _count(self, *_: object) -> None:
        self.done += 1


def test_layers_computed_twice_give_the_same_weights_with_dropout_on(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    once, twice = Passes(), Passes()
    plain = weights_of(go(tmp_path / "a", Hooks(check=once)).model)
    found = weights_of(go(tmp_path / "b", Hooks(check=twice), gradient_checkpointing=True).model)
    assert furthest(plain, found) < 1e-6
    assert losses_of(tmp_path / "a") == pytest.approx(losses_of(tmp_path / "b"), abs=1e-6)
    assert twice.done >= 2 * once.done > 0  # it was on
    other = weights_of(go(tmp_path / "c", seed=1).model)
    assert furthest(plain, other) > 1e-4  # it can fail


def test_after_a_run_layers_are_computed_once_again(
    bert: Path, dataset: Dataset, tmp_path: Path
) -> None:
    learner = TextEncoder.load(bert, TextSettings(precision="float32"))
    settings = replace(SETTINGS, gradient_checkpointing=True)
    train(learner, Task(dataset=dataset), tmp_path, settings)
    flags = [getattr(m, "gradient_checkpointing", False) for m in learner.network.modules()]
    assert not any(flags)
    assert not learner.encode(["ba da"], "query").requires_grad


@pytest.mark.slow
# torch.compile writes C++; nothing else here needs a compiler, so a machine may have none.
# torch.compile on a CPU writes C++ and has it compiled.
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler is here")
@pytest.mark.filterwarnings("ignore")  # torch compiles with many of its own
def test_a_compiled_model_learns_the_same_weights(dataset: Dataset, tmp_path: Path) -> None:
    base = tiny_bert(tmp_path / "base")
    found = []
    for name in ("a", "b"):
        learner = TextEncoder.load(base, TextSettings(precision="float32"))
        settings = replace(SETTINGS, dropout=0.0, max_steps=2, compile=name == "b")
        found.append(
            weights_of(train(learner, Task(dataset=dataset), tmp_path / name, settings).model)
        )
    assert furthest(*found) < 1e-5
    assert losses_of(tmp_path / "a") == pytest.approx(losses_of(tmp_path / "b"), abs=1e-5)


class Alone:
    """The gradient of each batch by itself, at the weights of the base."""

    def __init__(self, base: Path, dataset: Dataset, folder: Path) -> None:
        self.learner = TextEncoder.load(base, TextSettings(precision="float32"))
        self.learner.thaw()
        folder.mkdir()
        self.course: Course = open_course(
            folder, [Task(dataset=dataset)], replace(SETTINGS, max_steps=None), self.learner.tokens
        )

    def __call__(self, step: int) -> tuple[float, dict[str, Tensor]]:
        network, loss = self.learner.network, build_loss(LossSettings())

        def named(queries: Tensor, documents: Tensor, edges: Edges) -> Tensor:
            return loss(queries, documents, edges, 0.05)

        task, batch = self.course[step]
        plain = Step(seed=0, number=step, tokens_per_chunk=10_000, memory_bytes=2**40)
        network.zero_grad()
        value, _ = learn_from(self.learner, self.course.stores[task], batch, named, plain)
        slopes = {n: w.grad.clone() for n, w in network.named_parameters() if w.grad is not None}
        return value.item(), slopes


def length(slopes: dict[str, Tensor]) -> float:
    return float(torch.stack([slope.square().sum() for slope in slopes.values()]).sum().sqrt())


def mean(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}


def test_an_update_of_several_batches_follows_the_mean_of_their_gradients(
    go: Callable[..., TrainingResult], bert: Path, dataset: Dataset, tmp_path: Path
) -> None:
    alone = Alone(bert, dataset, tmp_path / "slow")
    go(tmp_path / "run", dropout=0.0, max_steps=5, batches_per_update=2, **unmoved())
    found = steps_of(tmp_path / "run")
    assert [row["step"] for row in found] == [1, 2, 3]
    for row, places in zip(found, ([0, 1], [2, 3], [4]), strict=True):  # the last has one batch
        values, slopes = zip(*map(alone, places), strict=True)
        assert row["loss"] == pytest.approx(sum(values) / len(values), abs=1e-4)
        wanted = length(mean(list(slopes)))
        assert row["gradient_length"] == pytest.approx(wanted, rel=1e-3)
        if len(places) == 2:  # neither their sum, nor that of one of them
            assert not any(wanted == pytest.approx(length(s), rel=1e-2) for s in slopes)


def test_weights_move_against_that_mean(
    go: Callable[..., TrainingResult], bert: Path, dataset: Dataset, tmp_path: Path
) -> None:
    alone = Alone(bert, dataset, tmp_path / "slow")
    slopes = mean([alone(0)[1], alone(1)[1]])
    result = go(
        tmp_path / "run", dropout=0.0, max_steps=2, batches_per_update=2, learning_rate=1e-3,
        warmup_share=0.0, weight_decay=0.0, gradient_clip=1e9, schedule="constant",
    )  # fmt: skip
    base, tuned = weights_of(bert), weights_of(result.model)
    checked = 0
    for name, weight in tuned.items():
        slope = slopes[f"transformer.{name}"]
        clear = slope.abs() > 1e-4  # the first step of Adam looks at the sign alone
        step = (base[name] - weight)[clear]
        torch.testing.assert_close(step, 1e-3 * slope[clear].sign(), rtol=1e-2, atol=1e-5)
        checked += int(clear.sum())
    assert checked > 5_000
