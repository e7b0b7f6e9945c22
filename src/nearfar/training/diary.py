"""What a run writes down as it goes: rows for log.jsonl and for trackers, warnings in words.

Of several processes the first alone writes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.training import log, ranks
from nearfar.training.lesson import Learned
from nearfar.training.rate import flops_of, matrix_rate
from nearfar.training.trackers import Trackers, open_trackers
from nearfar.training.trainee import Trainee
from nearfar.training.watch import Watch


class Diary:
    """The log of a run, and who else is told."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._path = folder / "log.jsonl"
        self._watch = Watch()
        self._trackers = Trackers()

    def begin(self, trackers: Sequence[str], facts: Mapping[str, Any], *, step: int | None) -> None:
        """Go on after a step, forgetting what was written after it; None begins anew."""
        if ranks.rank() > 0:
            return
        log.cut_after(self._path, -1 if step is None else step)
        self._watch.replay(log.rows(self._path))
        self._trackers = open_trackers(
            trackers, self._folder, "nearfar", facts, step=0 if step is None else step
        )

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row down, and say aloud what is going wrong."""
        if ranks.rank() > 0:
            return
        log.append(self._path, row)
        self._trackers.log(row, int(row["step"]))
        for symptom in self._watch.see(row):
            log.append(self._path, symptom.row)
            self._say(f"warning: {symptom.text}")

    def close(self) -> None:
        """Let go of the trackers."""
        self._trackers.close()


def row_of(shown: Sequence[Learned], model: Trainee, seconds: float) -> dict[str, Any]:
    """Return what the batches of a step have shown; numbers are means over the batches.

    Of them, `utilisation` is the share of the machine's measured rate of matrix products that
    the step's forward and backward passes made use of, 0 to 1.
    """
    tokens = int(sum(one.lengths.sum() for one in shown))
    flops = sum(flops_of(model.network.transformer, one.lengths) for one in shown)
    rate = matrix_rate(model.precision, model.device) * ranks.count()
    names = dict.fromkeys(name for one in shown for name in one.numbers)
    return {
        "loss": _mean(one.loss for one in shown),
        **{name: _mean(one.numbers[name] for one in shown if name in one.numbers)
           for name in names},
        "pairs_per_second": sum(one.pairs for one in shown) / seconds,
        "tokens_per_second": tokens / seconds,
        "utilisation": flops / seconds / rate,
        "texts": sum(len(one.lengths) for one in shown),
    }  # fmt: skip


def note_of(row: Mapping[str, Any]) -> str:
    """Return what of a row is worth a place beside a bar."""
    chance = f" of {row['chance_loss']:.1f}" if "chance_loss" in row else ""
    return (
        f"loss {row['loss']:.3f}{chance} · {row['pairs_per_second']:,.0f} pairs/s · "
        f"{row['tokens_per_second']:,.0f} tokens/s"
    )


def _mean(numbers: Iterable[float]) -> float:
    return float(np.mean(list(numbers)))
