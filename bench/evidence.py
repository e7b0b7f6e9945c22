"""What evidence costs: a large run file read, evaluated by cohort, with intervals, and gated.

    python bench/evidence.py runs [--queries 10000] [--hits 1000] [--cohorts 20] [--quick]

The run and the judgments are drawn by a seed: graded answers at any place, documents that nobody
judged, and documents of equal scores. The gate holds it against a baseline whose values differ
by noise; it is made while the clock stands still. What is measured runs in a process of its own,
so that its peak memory is its own. Figures land in bench/results/evidence.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_DOCUMENTS = 200_000
_ANSWERS = 3  # of a query, at most
_GROUP = 3  # queries that hang together
_FULL = (10_000, 1_000, 20)
_SECONDS, _MB = 20, 2_000  # for evaluate and gate together


def write_task(folder: Path, queries: int, hits: int, cohorts: int) -> Path:
    """Write a dataset and a run; return the path of the run."""
    import numpy as np

    from nearfar.data.writer import write_dataset
    from nearfar.records import Document, Judgment, Origin, Query

    dice, origin = np.random.default_rng(0), Origin(kind="human", source="bench")
    path = folder / "run.trec"
    with (
        write_dataset(folder / "data", licence="CC0-1.0", parents=[]) as writer,
        path.open("w", encoding="utf-8") as run,
    ):
        for number in range(_DOCUMENTS):
            writer.add(Document(id=f"doc-{number}", content=f"document {number}", source="bench"))
        for number in range(queries):
            query, group = f"query-{number}", f"group-{number // _GROUP}"
            fields = {"cohort": f"cohort {number % cohorts}"}
            writer.add(Query(id=query, content=f"query {number}", source="bench", group=group,
                             fields=fields))  # fmt: skip
            found = dice.choice(_DOCUMENTS, hits, replace=False)
            scores = np.sort(dice.normal(size=hits).round(4))[::-1]
            lines = enumerate(zip(found, scores, strict=True), start=1)
            run.writelines(f"{query} Q0 doc-{id_} {place} {score} bench\n"
                           for place, (id_, score) in lines)  # fmt: skip
            for document in dict.fromkeys(found[dice.integers(0, hits, _ANSWERS)].tolist()):
                writer.add(Judgment(query_id=query, document_id=f"doc-{document}", split="test",
                                    grade=int(dice.integers(1, 4)), origin=origin))  # fmt: skip
    return path


def evaluate(folder: Path, hits: int) -> dict[str, Any]:
    """Read a run and evaluate it; return the seconds of each part, and what was looked at."""
    import numpy as np
    from contending import peak_memory_mb

    from nearfar.data.dataset import Dataset
    from nearfar.evaluation.embedded import read_task
    from nearfar.evaluation.evaluate import clusters_of
    from nearfar.evaluation.intervals import estimate
    from nearfar.evaluation.runs import read_run
    from nearfar.evaluation.scores import write_scores
    from nearfar.evaluation.scoring import scored
    from nearfar.evaluation.systems import run_system
    from nearfar.pipeline.gating import Compared, gate
    from nearfar.release.policy import Change, Policy

    told: list[str] = []

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        told.append(what)

    begin, cpu = time.perf_counter(), time.process_time()
    run = read_run(folder / "run.trec", progress=progress)
    read = time.perf_counter() - begin
    dataset = Dataset.open(folder / "data")
    task = read_task(dataset, "test")
    clusters = clusters_of(dataset, task)
    cohorts = {"query.cohort": [str(query.fields["cohort"]) for query in task.queries]}
    system = run_system("bench", run, {})
    found = system.find(dataset, task, hits, progress=progress)
    scores = scored(system, found, dataset, task, split="test", depth=hits, clusters=clusters,
                    cohorts=cohorts, progress=progress)  # fmt: skip
    values = np.array(cohorts["query.cohort"])
    names = np.array(clusters)
    intervals = 0
    for value in np.unique(values):
        own = np.flatnonzero(values == value)
        for of in scores.values.values():
            estimate(of[own], names[own].tolist(), span=(0.0, 1.0))
            intervals += 1
    write_scores(scores, folder / "scores")
    evaluated, cpu_evaluated = time.perf_counter() - begin, time.process_time() - cpu
    _write_baseline(scores, folder / "baseline")
    begin, cpu = time.perf_counter(), time.process_time()
    metrics = ("ndcg_at_10_score", "recall_at_100_score", "mrr_at_10_score")
    policy = Policy(changes=tuple(Change(metric=name) for name in metrics))
    compared = Compared(candidate=folder / "scores", baseline=folder / "baseline")
    verdict = gate(policy, compared, folder / "verdict")
    gated, cpu_gated = time.perf_counter() - begin, time.process_time() - cpu
    return {
        "read_seconds": read,
        "gate_seconds": gated,
        "rules": len(verdict.findings),
        "seconds": evaluated + gated,
        "cpu_seconds": cpu_evaluated + cpu_gated,
        "peak_mb": peak_memory_mb(),
        "queries": len(scores.queries),
        "intervals": intervals,
        "progress": len(told),
        "ndcg": float(scores.values["ndcg_at_10_score"].mean()),
    }


def _write_baseline(scores: Any, folder: Path) -> None:
    from dataclasses import replace

    import numpy as np

    from nearfar.evaluation.scores import write_scores

    dice = np.random.default_rng(1)
    values = {name: (of + dice.normal(0, 0.1, len(of))).clip(0, 1)
              for name, of in scores.values.items()}  # fmt: skip
    write_scores(replace(scores, system="baseline", values=values), folder)


def runs(chosen: argparse.Namespace) -> None:
    """Measure it, in a process of its own."""
    queries, hits, cohorts = size = (200, 100, 5) if chosen.quick else (
        chosen.queries, chosen.hits, chosen.cohorts)  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = write_task(folder, queries, hits, cohorts).stat().st_size / 1e6
        command = [sys.executable, __file__, "evaluate", "--folder", name, "--hits", str(hits)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found = json.loads(done.stdout.splitlines()[-1])
    print(found, flush=True)
    from measuring import Figures

    whole = size == _FULL
    data = f"{queries:,} queries x {hits:,} hits x {cohorts} cohorts, {megabytes:,.0f} MB"
    figures = Figures("evidence.py runs", data, keep=whole, file="evidence")
    what = "a run evaluated, all metrics, intervals by cohort, and gated"
    seconds, cpu = found["seconds"], round(found["cpu_seconds"], 1)
    figures.add(f"{what}: seconds", seconds, "s", f"<= {_SECONDS}", seconds <= _SECONDS,
                cpu_seconds=cpu)  # fmt: skip
    figures.add(f"{what}: of these, reading the file", found["read_seconds"], "s")
    figures.add(f"{what}: of these, the gate on {found['rules']} rules", found["gate_seconds"], "s")
    figures.add(f"{what}: peak memory", found["peak_mb"], "MB", f"<= {_MB}",
                found["peak_mb"] <= _MB)  # fmt: skip
    figures.write()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["runs", "evaluate"])
    parser.add_argument("--queries", type=int, default=_FULL[0])
    parser.add_argument("--hits", type=int, default=_FULL[1])
    parser.add_argument("--cohorts", type=int, default=_FULL[2])
    parser.add_argument("--quick", action="store_true", help="a small one; nothing is recorded")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.what == "evaluate":
        print(json.dumps(evaluate(chosen.folder, chosen.hits)))
    else:
        runs(chosen)
