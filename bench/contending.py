"""How a contender of a benchmark runs: in a process of its own, marking the end of each step."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Mark = Callable[[], None]
Contender = Callable[[dict[str, Any], Mark], Any]


def contend(contenders: Mapping[str, Contender], name: str, options: str) -> None:
    """Run one, and print as JSON what a step took and how much memory it needed."""
    marks: list[tuple[float, float]] = []  # wall and CPU at the end of each step

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    mark()
    found: dict[str, float] = contenders[name](json.loads(options), mark) or {}
    # What comes before the end of the first step warms up, unless it is all there is.
    begin = marks[1] if len(marks) > 2 else marks[0]
    steps = len(marks) - 2 if len(marks) > 2 else 1
    found["seconds_per_step"] = (marks[-1][0] - begin[0]) / steps
    found["cpu_seconds_per_step"] = (marks[-1][1] - begin[1]) / steps
    found["peak_memory_mb"] = peak_memory_mb()
    print(json.dumps(found))


def peak_memory_mb() -> float:
    """Return the most memory that this process has held: not what its parent had at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def at_each_step(mark: Mark) -> Any:
    """Return a callback of a transformers trainer that marks the end of each step."""
    from transformers import TrainerCallback

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            mark()

    return Marks()
