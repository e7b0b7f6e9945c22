"""Figures of benchmarks, written by the commands that measured them and never by hand."""

import datetime
import json
import platform
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: list[dict[str, Any]], *, command: str, data: str) -> Path:
    """Put figures into bench/results/NAME.json, in place of older ones of the same measure.

    Args:
        name: of the file.
        figures: each with measure, value, unit, and where there is one target and holds.
        command: what reproduces them.
        data: what they were measured on.
    """
    path = RESULTS / f"{name}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    measures = {figure["measure"] for figure in figures}
    kept = [figure for figure in kept if figure["measure"] not in measures]
    blank: dict[str, Any] = {"target": None, "holds": None}
    common = {
        "command": command,
        "data": data,
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    kept += [blank | figure | common for figure in figures]
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def machine() -> str:
    """Say what the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{model}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
