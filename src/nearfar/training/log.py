"""log.jsonl: one line a step and one line a check, for people, pictures and the next start."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nearfar.files import whole_file


def cut_after(path: Path, step: int) -> None:
    """Forget what was logged after a step: the run goes on from there and says it again."""
    if not path.exists():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _within(line, step)]
    with whole_file(path) as part:
        part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what was logged, in order."""
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _within(line: str, step: int) -> bool:
    try:
        row = json.loads(line)
    except ValueError:  # the last line of a process that was killed while writing it
        return False
    return int(row.get("step", 0)) <= step
