"""A run is a function of its settings: stopped or killed at any step, it ends the same."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, BadSetting, Diverged, Stopped
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Task
from nearfar.training.settings import Training
from nearfar.training.train import Hooks, TrainingResult, train

SETTINGS = Training(pairs_per_step=8, epochs=3, checks=4, dropout=0.1, learning_rate=1e-3)


@pytest.fixture
def go(bert: Path, dataset: Dataset) -> Callable[..., TrainingResult]:
    def go(folder: Path, hooks: Hooks | None = None, **changes: object) -> TrainingResult:
        learner = TextEncoder.load(bert, TextSettings(precision="float32"))
        return train(learner, Task(dataset=dataset), folder, replace(SETTINGS, **changes), hooks)

    return go


def weights(result: TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(result.model / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses(folder: Path) -> list[float]:
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if row["kind"] == "step"]


def test_learns(go: Callable[..., TrainingResult], tmp_path: Path) -> None:
    go(tmp_path, epochs=12, dropout=0.0)
    found = losses(tmp_path)
    assert sum(found[-4:]) < 0.5 * sum(found[:4])


def test_twice_is_the_same(go: Callable[..., TrainingResult], tmp_path: Path) -> None:
    one, other = go(tmp_path / "a"), go(tmp_path / "b")
    assert same(weights(one), weights(other))
    assert not same(weights(one), weights(go(tmp_path / "c", seed=1)))  # it can fail


@pytest.mark.parametrize("last", [1, 5, 13])
def test_killed_without_warning_it_goes_on_to_the_same_weights(
    go: Callable[..., TrainingResult], bert: Path, dataset: Dataset, tmp_path: Path, last: int
) -> None:
    killed = tmp_path / "killed"
    script = Path(__file__).with_name("killed.py")
    command = [sys.executable, script, bert, dataset.folder, killed, str(last)]
    ended = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (killed / "model").exists()
    assert same(weights(go(killed)), weights(go(tmp_path / "whole")))
    assert losses(killed) == losses(tmp_path / "whole")


def test_stopped_politely_it_says_where_and_goes_on_from_there(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    done = 0

    def count(what: str, now: int, total: int | None, note: str = "") -> None:
        nonlocal done
        done = now

    with pytest.raises(Stopped, match="Stopped after step 3 of 14"):
        go(tmp_path / "a", Hooks(progress=count, stop=lambda: done == 3))
    began = []
    went_on = go(
        tmp_path / "a", Hooks(progress=lambda what, now, total, note="": began.append(now))
    )
    assert began[0] == 4
    assert same(weights(went_on), weights(go(tmp_path / "b")))


def test_the_best_weights_on_dev_are_kept(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    scores = iter([0.1, 0.5, 0.9, 0.3, 0.2])
    at_best: dict[str, torch.Tensor] = {}

    def check(encoder: TextEncoder) -> dict[str, float]:
        score = next(scores)
        if score == 0.9:
            state = encoder.network.transformer.state_dict()
            at_best.update({name: tensor.clone() for name, tensor in state.items()})
        return {"ndcg_at_10_score": score}

    result = go(tmp_path, Hooks(check=check))
    assert result.best_step == 8
    assert same(weights(result), at_best)


def test_weights_that_never_beat_the_base_are_not_kept(
    go: Callable[..., TrainingResult], tmp_path: Path, bert: Path
) -> None:
    scores = iter([0.9, 0.5, 0.4, 0.3, 0.2])
    result = go(tmp_path, Hooks(check=lambda encoder: {"ndcg_at_10_score": next(scores)}))
    assert result.best_step == 0
    assert same(weights(result), load_file(bert / "model.safetensors"))


def test_what_was_only_needed_to_go_on_is_gone_at_the_end(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    go(tmp_path, Hooks(check=lambda encoder: {"score": 1.0}))
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {
        "log.jsonl", "model", "tokens",
    }  # fmt: skip


def test_a_folder_of_another_run_is_refused(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        go(tmp_path, Hooks(stop=lambda: True))
    with pytest.raises(BadFile, match="found one of"):
        go(tmp_path, learning_rate=1e-4)


def test_numbers_that_explode_are_not_learned(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    with pytest.raises(Diverged, match=r"Lower training\.learning_rate"):
        go(tmp_path, learning_rate=1e30, warmup_share=0.0, gradient_clip=1e9)


def test_micro_batches_do_not_change_the_weights_by_more_than_rounding(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    one = weights(go(tmp_path / "a", tokens_per_chunk=30, dropout=0.0, learning_rate=1e-4))
    other = weights(go(tmp_path / "b", tokens_per_chunk=10_000, dropout=0.0, learning_rate=1e-4))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs_per_step": 1}, "training.pairs_per_step must be 2 or more"),
        ({"learning_rate": 0.0}, "training.learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "training.learning_rate must be above 0"),
        ({"dropout": 1.0}, "training.dropout must be 0 to below 1"),
        ({"warmup_share": 1.0}, "training.warmup_share must be 0 to below 1"),
        ({"max_steps": 0}, "training.max_steps must be above 0"),
        ({"schedule": "steps"}, "training.schedule must be linear, cosine or constant"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        replace(SETTINGS, **changes)


def test_a_dataset_without_training_pairs_is_refused(tmp_path: Path, bert: Path) -> None:
    from test_batch import written

    dataset = written(tmp_path / "d", {"d": "ba"}, {"q": "da"}, [("q", "d", 1.0, "test")])
    with pytest.raises(BadRecord, match="expected judgments above 0 in the train split"):
        train(TextEncoder.load(bert), Task(dataset=dataset), tmp_path / "r", SETTINGS)
