"""The bug this project will not have: a gradient that is off by the number of processes.

Every run here is started by torchrun, with gloo on the CPU, and compared with the same run in one
process: the same losses step by step, the same weights at the end, dropout on.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_cross

from nearfar.data.dataset import Dataset

SETTINGS = {
    "pairs_per_step": 12, "epochs": 2, "checks": 2, "dropout": 0.1, "learning_rate": 1e-3,
    "tokens_per_chunk": 60, "memory_mb": 1, "seed": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def start(bert: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    cross = tiny_cross(tmp_path_factory.mktemp("cross"), dropout=0.1)

    def start(folder: Path, processes: int, *last: int, **changes: object) -> str:
        model = cross if changes.get("cross") else bert
        script = Path(__file__).with_name("several.py")
        settings = json.dumps(SETTINGS | changes)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                   "--nproc-per-node", processes, "--max-restarts", 0,
                   script, model, dataset.folder, folder, settings, *last]  # fmt: skip
        if processes == 0:
            command = [sys.executable, *command[command.index(script) :]]
        ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert bool(ended.returncode) == bool(last), ended.stderr
        return ended.stderr

    return start


@pytest.fixture(scope="module")
def alone(start, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("alone")
    start(folder, 0)
    return folder


def curve(folder: Path, name: str = "loss") -> list[float]:
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [row[name] for row in rows if row["kind"] == "step" and name in row]


def same_run(one: Path, other: Path) -> None:
    assert curve(one) == pytest.approx(curve(other), rel=1e-4, abs=1e-5)
    assert curve(one, "gradient_length") == pytest.approx(curve(other, "gradient_length"), rel=1e-3)
    for name in ("temperature", "ordered_share"):
        assert curve(one, name) == pytest.approx(curve(other, name), rel=1e-5)
    found, expected = (load_file(run / "model/model.safetensors") for run in (one, other))
    for name, weight in expected.items():
        if name.endswith("key.bias"):
            continue  # softmax does not feel it: Adam makes steps of what is rounding
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_any_number_of_processes_is_the_same_run(
    start,
    alone: Path,
    tmp_path: Path,
    processes: int,  # type: ignore[no-untyped-def]
) -> None:
    start(tmp_path, processes)
    same_run(tmp_path, alone)
    assert curve(alone)[-1] < curve(alone)[0]  # it can fail: the run does go somewhere


def test_sharded_weights_are_the_same_run(start, alone: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    start(tmp_path, 2, sharded=True)
    same_run(tmp_path, alone)


def test_sharded_weights_lose_no_gradient_to_rounded_copies(
    start,  # type: ignore[no-untyped-def]
    tmp_path: Path,
) -> None:
    few = {"precision": "bfloat16", "max_steps": 2, "dropout": 0.0, "cross": True}
    start(tmp_path / "sharded", 2, sharded=True, **few)
    start(tmp_path / "alone", 0, **few)
    found, expected = (curve(tmp_path / one, "gradient_length") for one in ("sharded", "alone"))
    assert found == pytest.approx(expected, rel=1e-3)  # 5 % less where copies were kept


def test_a_process_that_dies_is_said_and_the_run_goes_on_with_another_number(
    start,
    alone: Path,
    tmp_path: Path,  # type: ignore[no-untyped-def]
) -> None:
    said = start(tmp_path, 2, 1, 4)
    assert "RankLost: Expected 2 processes to the end, but one of them ended" in said
    kept = sorted(tmp_path.glob("checkpoint-*"))
    assert [int(path.name.split("-")[1]) for path in kept] == [4]
    assert not (tmp_path / "model").exists()
    start(tmp_path, 0)
    same_run(tmp_path, alone)


@pytest.fixture(scope="module")
def reranker_alone(start, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("reranker")
    start(folder, 0, cross=True)
    return folder


@pytest.mark.parametrize(("processes", "sharded"), [(2, False), (3, False), (2, True)])
def test_a_cross_encoder_is_trained_together_too(
    start,  # type: ignore[no-untyped-def]
    reranker_alone: Path,
    tmp_path: Path,
    processes: int,
    sharded: bool,
) -> None:
    start(tmp_path, processes, cross=True, sharded=sharded)
    same_run(tmp_path, reranker_alone)
    assert curve(tmp_path)[-1] != curve(tmp_path)[0]
    assert curve(tmp_path, "ordered_share")
