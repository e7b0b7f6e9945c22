"""What trackers show is what the log says; a library is asked for only by who wants it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nearfar.errors import BadSetting
from nearfar.training.trackers import Trackers, open_trackers

SETTINGS = {"name": "small", "training": {"seed": 3, "max_steps": None, "layers": (1, 2)}}


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the event files of TensorBoard as TensorBoard does."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def step(number: int, **changes: object) -> dict[str, object]:
    return {"kind": "step", "step": number, "loss": 1 / number, **changes}


class Broken:
    """A tracker whose server goes away after the first row."""

    name = "mlflow"

    def __init__(self) -> None:
        self.got: list[Mapping[str, Any]] = []

    def log(self, values: Mapping[str, Any], step: int) -> None:
        if self.got:
            raise ConnectionError("no route to host\nand so on")
        self.got.append(values)

    def finish(self) -> None:
        raise ConnectionError


class Keeping:
    """A tracker that keeps what it is given."""

    name = "tensorboard"

    def __init__(self) -> None:
        self.got: list[tuple[int, Mapping[str, Any]]] = []
        self.finished = 0

    def log(self, values: Mapping[str, Any], step: int) -> None:
        self.got.append((step, dict(values)))

    def finish(self) -> None:
        self.finished += 1


def test_tensorboard_shows_the_numbers_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    trackers = open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS)
    trackers.log({"kind": "dev", "step": 0, "ndcg_at_10_score": 0.25}, 0)
    trackers.log(step(1, temperature_clamped=True, task="pairs"), 1)
    trackers.log(step(2), 2)
    trackers.log({"kind": "warning", "step": 2, "name": "collapse", "text": "..."}, 2)
    trackers.close()
    assert shown(tmp_path) == {
        "dev/ndcg_at_10_score": [(0, 0.25)],
        "train/loss": [(1, 1.0), (2, 0.5)],
    }


def test_tensorboard_keeps_the_settings(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS).close()
    [path] = tmp_path.glob("tensorboard/*/hparams.yml")
    assert set(path.read_text().splitlines()) == {
        "name: small", "training.seed: 3", "training.max_steps: 'null'",
        "training.layers: '[1, 2]'",
    }  # fmt: skip


def test_a_tracker_that_is_named_twice_is_opened_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    open_trackers(["tensorboard", "tensorboard"], tmp_path, "nearfar", SETTINGS).close()
    assert len(list(tmp_path.glob("tensorboard/events.*"))) == 1


def test_steps_that_a_stopped_run_did_not_keep_are_shown_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first = open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS)
    for number in range(1, 6):
        first.log(step(number, loss=float(number)), number)
    first.close()
    second = open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS, step=3)
    for number in range(4, 7):
        second.log(step(number, loss=10.0 * number), number)
    second.close()
    expected = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0), (6, 60.0)]
    assert shown(tmp_path)["train/loss"] == expected
    assert len(list(tmp_path.glob("tensorboard/*/hparams.yml"))) == 1


def test_without_names_nothing_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    trackers = open_trackers([], tmp_path / "run", "nearfar", SETTINGS)
    trackers.log(step(1), 1)
    trackers.close()
    assert not (tmp_path / "run").exists()


def test_no_tracker_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import sys, nearfar.training.trackers\n"
        "theirs = {'accelerate.tracking', 'tensorboard', 'wandb', 'mlflow'}\n"
        "sys.exit(bool(theirs & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_are_answered_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="must be of tensorboard, wandb, mlflow, got 'tensorbord'"):
        open_trackers(["tensorbord"], tmp_path, "nearfar", SETTINGS)


def test_a_tracker_that_is_not_installed_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate.tracking")  # it looks for others once, when it is imported
    monkeypatch.delitem(sys.modules, "accelerate.tracking")
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    said = r"tensorboard is not installed\. Run `pip install tensorboard`"
    with pytest.raises(BadSetting, match=said):
        open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS)


def test_without_accelerate_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate.tracking", None)
    with pytest.raises(BadSetting, match=r"pip install 'nearfar\[trackers\]'"):
        open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS)


def test_a_tracker_that_does_not_start_is_a_bad_setting(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("a file where a folder is needed")
    with pytest.raises(BadSetting, match="tensorboard is installed but did not start"):
        open_trackers(["tensorboard"], tmp_path, "nearfar", SETTINGS)


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on() -> None:
    broken, keeping = Broken(), Keeping()
    trackers = Trackers([broken, keeping])
    trackers.log(step(1), 1)
    with pytest.warns(RuntimeWarning, match=r"mlflow took no more numbers at step 2 \(no route"):
        trackers.log(step(2), 2)
    trackers.log(step(4), 4)
    assert broken.got == [{"train/loss": 1.0}]
    assert keeping.got == [
        (1, {"train/loss": 1.0}),
        (2, {"train/loss": 0.5}),
        (4, {"train/loss": 0.25}),
    ]


def test_all_are_closed_once_even_if_one_cannot_be() -> None:
    before, after = Keeping(), Keeping()
    trackers = Trackers([before, Broken(), after])
    trackers.close()
    trackers.close()
    trackers.log(step(1), 1)
    assert (before.finished, after.finished) == (1, 1)
    assert not before.got
