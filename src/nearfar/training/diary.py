"""What a run writes down as it goes: rows for log.jsonl and for trackers, warnings in words.

Of several processes the first alone writes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.model.text import TextEncoder
from nearfar.training import log, ranks
from nearfar.training.batch import Batch
from nearfar.training.diagnosis import Watch, diagnose
from nearfar.training.learner import Learned
from nearfar.training.rate import flops_of, matrix_rate
from nearfar.training.store import TokenStore
from nearfar.training.trackers import Trackers, open_trackers


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


@dataclass(frozen=True, slots=True)
class Shown:
    """What one batch of a step has shown."""

    batch: Batch
    store: TokenStore
    learned: Learned


def row_of(shown: Sequence[Shown], encoder: TextEncoder, seconds: float) -> dict[str, Any]:
    """Return what the batches of a step have shown; numbers are means over the batches.

    Of them, `utilisation` is the share of the machine's measured rate of matrix products that
    the step's forward and backward passes made use of, 0 to 1.
    """
    lengths = [one.store.lengths[one.batch.texts] for one in shown]
    pairs = sum(one.batch.pairs for one in shown)
    tokens = int(sum(each.sum() for each in lengths))
    flops = sum(flops_of(encoder.network.transformer, each) for each in lengths)
    rate = matrix_rate(encoder.precision, encoder.device) * ranks.count()
    return {
        "loss": _mean(one.learned.loss for one in shown),
        **_diagnosed(shown, encoder.network.dim),
        "pairs_per_second": pairs / seconds,
        "tokens_per_second": tokens / seconds,
        "utilisation": flops / seconds / rate,
        "texts": sum(len(one.batch.texts) for one in shown),
    }


def note_of(row: Mapping[str, Any]) -> str:
    """Return what of a row is worth a place beside a bar."""
    chance = f" of {row['chance_loss']:.1f}" if "chance_loss" in row else ""
    return (
        f"loss {row['loss']:.3f}{chance} · {row['pairs_per_second']:,.0f} pairs/s · "
        f"{row['tokens_per_second']:,.0f} tokens/s"
    )


def _diagnosed(shown: Sequence[Shown], dim: int) -> dict[str, float]:
    found: list[dict[str, float]] = []
    for one in shown:
        vectors = one.learned.vectors[:, :dim]  # those of other layers stand to the right
        edges = one.batch.edges.to(vectors.device)
        numbers = diagnose(vectors[one.batch.query], vectors[one.batch.document], edges)
        if one.learned.temperature is not None:
            numbers["temperature"] = one.learned.temperature
        if not one.learned.in_nats:
            numbers.pop("chance_loss", None)
        found.append(numbers)
    names = dict.fromkeys(name for numbers in found for name in numbers)
    return {name: _mean(n[name] for n in found if name in n) for name in names}


def _mean(numbers: Iterable[float]) -> float:
    return float(np.mean(list(numbers)))
