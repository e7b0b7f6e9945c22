"""What the benchmarks share: contenders in processes of their own, in turn, and their figures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from results import record

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data"
Rounds = list[dict[str, float]]


def run(name: str, options: dict[str, Any], script: str = "contenders.py") -> dict[str, float]:
    command = [sys.executable, str(HERE / script), name, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def interleaved(
    contenders: dict[str, tuple[str, dict[str, Any]]], rounds: int, script: str = "contenders.py"
) -> dict[str, Rounds]:
    found: dict[str, Rounds] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, (kind, options) in contenders.items():
            found[name].append(run(kind, options, script))
            print(f"  round {turn + 1} {name}: {found[name][-1]}", flush=True)
    return found


def fastest(rounds: Rounds) -> dict[str, float]:
    return min(rounds, key=lambda one: one["seconds_per_step"])


class Figures:
    """What a command measured, on its way to the file."""

    def __init__(self, name: str, data: str, keep: bool, *, file: str = "training") -> None:
        self.command, self.data, self.keep, self.file = name, data, keep, file
        self.rows: list[dict[str, Any]] = []

    def add(
        self, measure: str, value: float, unit: str, target: str | None = None,
        holds: bool | None = None, **more: Any,
    ) -> None:  # fmt: skip
        self.rows.append({"measure": measure, "value": round(value, 4), "unit": unit,
                          "target": target, "holds": holds, **more})  # fmt: skip
        said = f" (target {target}: {'holds' if holds else 'does not hold'})" if target else ""
        print(f"{measure}: {value:,.3f} {unit}{said}", flush=True)

    def speeds(self, found: dict[str, Rounds], pairs: int, what: str) -> None:
        for name, rounds in found.items():
            best = fastest(rounds)
            each = [round(pairs / one["seconds_per_step"], 1) for one in rounds]
            self.add(f"{what}: {name}", pairs / best["seconds_per_step"], "pairs/s", rounds=each,
                     cpu_seconds_per_step=round(best["cpu_seconds_per_step"], 2),
                     peak_memory_mb=round(best["peak_memory_mb"]))  # fmt: skip

    def ratio(
        self, found: dict[str, Rounds], ours: str, theirs: str, what: str, least: float
    ) -> None:
        value = (
            fastest(found[theirs])["seconds_per_step"] / fastest(found[ours])["seconds_per_step"]
        )
        self.add(f"{what}: {ours} over {theirs}", value, "times as many pairs/s",
                 f">= {least}", value >= least)  # fmt: skip

    def write(self) -> None:
        if self.keep:
            print(record(self.file, self.rows, command=f"python bench/{self.command}",
                         data=self.data))  # fmt: skip
