"""Training speed and memory beside sentence-transformers, interleaved in one run.

    python bench/speed.py [--data ../shared/data/fairytaleqa] [--rounds 3]

Each contender trains the same model on the same pairs with the same batch and length, in a
process of its own (so that peak memory is its own), in turn: A B C, A B C, ... On a shared machine
a round can take twice as long for no reason of its own, so each contender stands with its fastest
round, the least disturbed one; all rounds are printed and kept.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from results import machine, record

HERE = Path(__file__).parent
CONTENDERS = {
    "nearfar": "nearfar",
    "st": "sentence-transformers 6.2, its defaults",
    "st-best": "sentence-transformers 6.2, bf16 and no attention dropout",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/fairytaleqa")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="measured, after one that is not")
    parser.add_argument("--pairs", type=int, default=64, help="a step")
    chosen = parser.parse_args()

    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.jsonl"
        _write_pairs(chosen.data, pairs, (chosen.steps + 1) * chosen.pairs)
        for turn in range(chosen.rounds):
            for name, found in runs.items():
                command = [sys.executable, HERE / "contender.py", name, pairs, str(chosen.pairs)]
                done = subprocess.run(
                    list(map(str, command)), check=True, capture_output=True, text=True
                )
                found.append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {turn + 1} {name}: {found[-1]}", flush=True)

    figures = []
    print(f"\n{machine()}; {chosen.data.name}, {chosen.pairs} pairs a step, 256 tokens")
    print(f"{'':<56}{'pairs/s':>9}{'CPU s/step':>12}{'peak MB':>9}{'nearfar is':>11}")
    best = {
        name: max(found, key=lambda run: run["pairs_per_second"]) for name, found in runs.items()
    }
    for name, title in CONTENDERS.items():
        row = best[name]
        ratio = best["nearfar"]["pairs_per_second"] / row["pairs_per_second"]
        print(
            f"{title:<56}{row['pairs_per_second']:>9.1f}{row['cpu_seconds_per_step']:>12.1f}"
            f"{row['peak_memory_mb']:>9.0f}{ratio:>11.2f}"
        )
        rounds = [round(run["pairs_per_second"], 1) for run in runs[name]]
        figures += [
            _figure(f"training speed, {title}", row["pairs_per_second"], "pairs/s")
            | {"rounds": rounds},
            _figure(f"training CPU time, {title}", row["cpu_seconds_per_step"], "s/step"),
            _figure(f"training peak memory, {title}", row["peak_memory_mb"], "MB"),
        ]
        if name != "nearfar":
            figures.append(
                _figure(
                    f"training speed, nearfar over {title}", ratio, "ratio of the fastest rounds"
                )
                | {"target": "above 1", "holds": ratio > 1}
            )
    print(record("main-job", figures, command="python bench/speed.py", data=chosen.data.name))


def _figure(measure: str, value: float, unit: str) -> dict[str, Any]:
    return {"measure": measure, "value": round(value, 3), "unit": unit}


def _write_pairs(source: Path, path: Path, count: int) -> None:
    """Write the first training pairs of a BEIR folder, in a fixed shuffled order."""
    import random

    from nearfar.data.dataset import Dataset
    from nearfar.data.importing import ImportOptions, import_source

    with tempfile.TemporaryDirectory() as folder:
        dataset: Dataset = import_source(source, Path(folder) / "d", ImportOptions()).dataset
        documents = {document.id: document.content for document in dataset.documents()}
        queries = {query.id: query.content for query in dataset.queries()}
        judged = [j for j in dataset.judgments("train") if j.grade > 0]
    random.Random(0).shuffle(judged)
    # Every query and every document once: what the peer's sampler would otherwise have to avoid.
    rows, seen = [], set()
    for judgment in judged:
        pair = (queries[judgment.query_id], documents[judgment.document_id])
        if not seen & set(pair):
            seen |= set(pair)
            rows.append({"query": pair[0], "document": pair[1]})
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows[:count])


if __name__ == "__main__":
    main()
