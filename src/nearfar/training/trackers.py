"""The numbers of a run in TensorBoard, Weights & Biases or MLflow, through the library accelerate.

What a run itself needs is in its log.jsonl; this is a copy for eyes that look elsewhere.
"""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nearfar.errors import BadSetting, said
from nearfar.files import whole_file
from nearfar.training import ranks

_NAMES = {"step": "train"}  # kinds of rows that are shown under another name
_IDS = "trackers.json"  # under which names the trackers know this run


class Trackers:
    """Where the rows of a run's log go besides its log."""

    def __init__(self, trackers: Sequence[Any] = ()) -> None:
        self._trackers = list(trackers)

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Hand on the numbers of one row: {"kind": "dev", "mrr": 0.5} becomes dev/mrr.

        A tracker that fails, such as a server that no longer answers, is left out from then on,
        with a RuntimeWarning: no number is worth the run.
        """
        kind = str(row.get("kind", "step"))
        numbers = {
            f"{_NAMES.get(kind, kind)}/{name}": value
            for name, value in row.items()
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool)
        }
        if not numbers:
            return
        for tracker in list(self._trackers):
            try:
                tracker.log(numbers, step=step)
            except Exception as error:  # each library has errors of its own
                self._trackers.remove(tracker)
                warnings.warn(
                    f"{tracker.name} took no more numbers at step {step} ({said(error)}). The "
                    "run goes on without it; log.jsonl holds everything.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def close(self) -> None:
        """Write what is still held, and end."""
        while self._trackers:
            with contextlib.suppress(Exception):  # the run is over; its log is whole
                self._trackers.pop().finish()


def open_trackers(
    names: Sequence[str],
    folder: Path,
    name: str,
    settings: Mapping[str, Any],
    *,
    step: int = 0,
) -> Trackers:
    """Return the trackers of these names; without names, or in any process but the first, none.

    Where they write is theirs to be told (WANDB_MODE, MLFLOW_TRACKING_URI, ...). TensorBoard's
    files lie in `folder/tensorboard`, so that `tensorboard --logdir` on the folder above
    compares runs.

    Args:
        names: of tensorboard, wandb, mlflow.
        folder: of the run; its name is the run's there too.
        name: of the project (W&B) or experiment (MLflow) that holds the run.
        settings: what to tell runs apart by, nested as it comes; shown as training.seed.
        step: steps done already. Above 0 the run goes on under the id it had, and what was shown
            after this step is shown anew.

    Raises:
        BadSetting: a name is not known, or a library is not installed or does not start.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return Trackers()
    kinds = _kinds(wanted)
    if ranks.rank() > 0:
        return Trackers()
    from accelerate import PartialState  # type: ignore[import-untyped]

    PartialState()  # what they write to their own log asks for it
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, str] = {}
    if step and (folder / _IDS).is_file():
        known = json.loads((folder / _IDS).read_text(encoding="utf-8"))
    opened: list[Any] = []
    for kind in wanted:
        tracker = _BUILD[kind](kinds[kind], folder, name, known.get(kind), step)
        with _said_if_it_does_not_start(kind, opened):
            tracker.start()
            opened.append(tracker)
            if not step:
                tracker.store_init_configuration(_flat(settings))
    if ids := {tracker.name: id_ for tracker in opened if (id_ := _id_of(tracker))}:
        with whole_file(folder / _IDS) as part:
            part.write_text(json.dumps(ids) + "\n", encoding="utf-8")
    return Trackers(opened)


def _tensorboard(kind: Any, folder: Path, name: str, known: str | None, step: int) -> Any:
    # Rows of steps that a stopped run did not keep are hidden when it does them again.
    return kind("tensorboard", str(folder), purge_step=step + 1 if step else None)


def _wandb(kind: Any, folder: Path, name: str, known: str | None, step: int) -> Any:
    again = {"id": known, "resume": "allow"} if known else {}
    return kind(name, name=folder.name, dir=str(folder), **again)


def _mlflow(kind: Any, folder: Path, name: str, known: str | None, step: int) -> Any:
    return kind(name, run_name=folder.name, run_id=known)


_BUILD = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}


def _kinds(names: Sequence[str]) -> dict[str, Any]:
    """Return accelerate's class for each name.

    Raises:
        BadSetting: a name is not known, or not installed.
    """
    for name in names:
        if name not in _BUILD:
            raise BadSetting(f"training.trackers must be of {', '.join(_BUILD)}, got {name!r}.")
    try:
        from accelerate.tracking import (  # type: ignore[import-untyped]
            LOGGER_TYPE_TO_CLASS,
            get_available_trackers,
        )
    except ImportError as error:
        raise BadSetting(
            "training.trackers needs the library accelerate. Run `pip install 'nearfar[trackers]'`."
        ) from error
    here = {str(found) for found in get_available_trackers()}
    if missing := [name for name in names if name not in here]:
        raise BadSetting(
            f"training.trackers: {', '.join(missing)} is not installed. "
            f"Run `pip install {' '.join(missing)}`, or leave it out."
        )
    return {name: LOGGER_TYPE_TO_CLASS[name] for name in names}


@contextlib.contextmanager
def _said_if_it_does_not_start(name: str, opened: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each library has errors of its own
        Trackers(opened).close()
        raise BadSetting(
            f"training.trackers: {name} is installed but did not start: {said(error)} Set it up "
            "by its own manual (log in, or name a server that answers), or leave it out."
        ) from error


def _id_of(tracker: Any) -> str | None:
    if tracker.name == "wandb":
        return str(tracker.tracker.id)
    if tracker.name == "mlflow":
        return str(tracker.tracker.info.run_id)
    return None


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, bool | float | str]:
    """Return settings without nesting, with values that every tracker takes."""
    flat: dict[str, bool | float | str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        elif isinstance(value, bool | int | float | str):
            flat[above + name] = value
        else:
            flat[above + name] = json.dumps(value, default=str)
    return flat
