"""A million rows of pairs, imported, checked and split: how fast, and in how much memory.

    python bench/importing.py [--rows 1000000] [--quick]

Each stage runs in a process of its own, so that its peak memory is its own. The rows are
synthetic: different questions and answers, ten rows to a page (the group), a cohort of languages,
and one row in a hundred that repeats another. Memory is bounded if each further row takes a fixed,
small part of it, whatever its text: that is measured against a tenth of the rows. Figures land
in bench/results/pairs.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contending import peak_memory_mb

_MILLION = 1_000_000  # other numbers of rows are measured too, but not recorded
_FEWER = 10  # times: the memory of a row is the difference between many rows and fewer
_WORDS = ["river", "stone", "cloud", "paper", "light", "orange", "market", "winter", "garden",
          "signal", "window", "copper"]  # fmt: skip


def write_rows(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            number = row if row % 100 else max(0, row - 50)  # one in a hundred repeats another
            words = " ".join(_WORDS[(number * k + k) % len(_WORDS)] for k in range(1, 40))
            pair = {
                "query": f"what is said of the {_WORDS[number % 12]} number {number}?",
                "document": f"Of number {number} it is said: {words}.",
                "page": f"page {number // 10}",
                "lang": ("en", "de", "fr", "es")[number % 4],
            }
            file.write(json.dumps(pair) + "\n")


def import_(source: Path, folder: Path) -> dict[str, Any]:
    from nearfar.data.columns import Columns
    from nearfar.data.importing import ImportOptions, import_source

    options = ImportOptions(columns=Columns(group="page"), on_error="reject")
    found = import_source(source, folder, options)
    return {"rows": found.tally.read, "splits": found.dataset.manifest["splits"]}


def check(_: Path, folder: Path) -> dict[str, Any]:
    from nearfar.data.check import check_dataset
    from nearfar.data.dataset import Dataset

    dataset = Dataset.open(folder)
    report = check_dataset(dataset, count_tokens=None, max_tokens=None, cohorts=None)
    return {"rows": dataset.count("judgments"), "ok": report.ok}


STAGES = {"import": import_, "check": check}


def measured(stage: str, source: Path, folder: Path) -> dict[str, Any]:
    """Return what a stage says, its seconds, and its peak memory, in a process of its own."""
    command = [sys.executable, __file__, "--stage", stage, str(source), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{stage}: {found}", flush=True)
    return found


def run_stage(stage: str, source: Path, folder: Path) -> None:
    begin, cpu = time.perf_counter(), time.process_time()
    found = STAGES[stage](source, folder)
    peak = peak_memory_mb()
    found |= {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu,
              "peak_mb": peak}  # fmt: skip
    print(json.dumps(found))


def figures(stage: str, found: dict[str, Any], fewer: dict[str, Any]) -> list[dict[str, Any]]:
    rows, what = found["rows"], f"{stage} of a million pairs"
    each = (found["peak_mb"] - fewer["peak_mb"]) * (1 << 20) / (rows - fewer["rows"])
    return [
        {"measure": f"{what}: rows a second", "value": round(rows / found["seconds"]),
         "unit": "rows/s"},
        {"measure": f"{what}: seconds", "value": round(found["seconds"], 1), "unit": "s",
         "cpu_seconds": round(found["cpu_seconds"], 1)},
        {"measure": f"{what}: peak memory", "value": round(found["peak_mb"]), "unit": "MB"},
        {"measure": f"{what}: memory of one more row", "value": round(each), "unit": "bytes"},
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=_MILLION)
    parser.add_argument("--quick", action="store_true", help="10,000 rows; nothing is recorded")
    parser.add_argument("--stage", nargs=3, metavar=("STAGE", "SOURCE", "FOLDER"),
                        help=argparse.SUPPRESS)  # fmt: skip
    chosen = parser.parse_args()
    if chosen.stage:
        run_stage(chosen.stage[0], Path(chosen.stage[1]), Path(chosen.stage[2]))
        return
    rows = 10_000 if chosen.quick else chosen.rows
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for part, count in (("few", rows // _FEWER), ("all", rows)):
            source = Path(folder) / f"{part}.jsonl"
            write_rows(source, count)
            found.append({stage: measured(stage, source, Path(folder) / part) for stage in STAGES})
        size = source.stat().st_size >> 20
    few, all_ = found
    rows_of = [one for stage in STAGES for one in figures(stage, all_[stage], few[stage])]
    if rows == _MILLION:
        from results import record  # only now: it loads torch, which no stage should carry

        command = f"python bench/importing.py --rows {rows}"
        print(record("pairs", rows_of, command=command,
                     data=f"{rows:,} synthetic pairs, JSONL of {size:,} MiB"))  # fmt: skip


if __name__ == "__main__":
    main()
