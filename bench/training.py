"""The training engine beside sentence-transformers 6.2, measure by measure, in interleaved runs.

    python bench/training.py [speed products loss static memory big quality] [--rounds 2] [--quick]

Each contender runs in a process of its own (so that peak memory is its own), in turn: A B C, A B C.
On a shared machine a round can take twice as long for no reason of its own, so each contender
stands with its fastest round; all rounds are kept. Figures land in bench/results/training.json.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from measuring import DATA, Figures, fastest, interleaved, run
from pairs import write_pairs

NO_DROPOUT = ["attention_probs_dropout_prob", "hidden_dropout_prob"]
BEST = {"bf16": True, "dropout_off": NO_DROPOUT[:1]}  # the peer's, as anchors.md found them


def speed(chosen: argparse.Namespace) -> None:
    steps = 2 if chosen.quick else 6
    for data in ("fairytaleqa", "medquad"):
        with tempfile.TemporaryDirectory() as folder:
            shared, unique = Path(folder) / "shared.jsonl", Path(folder) / "unique.jsonl"
            write_pairs(DATA / data, shared, steps * 64 + 64, unique=False)
            base = {"pairs": str(shared), "steps": steps + 1}
            ours = {**base, "training": {"queries_per_document": 4}}
            theirs = {**base, "pairs_per_step": 64}
            contenders: dict[str, tuple[str, dict[str, Any]]] = {
                "nearfar, documents shared": ("nearfar", ours),
                "nearfar, its defaults": ("nearfar", base),
                "peer, its defaults": ("peer", theirs),
                "peer, its best settings": ("peer", theirs | BEST),
            }
            if data == "fairytaleqa":
                write_pairs(DATA / data, unique, steps * 64 + 64, unique=True)
                lone = {"pairs": str(unique)}
                for kind in ("float32", "bfloat16"):
                    still = {"dropout_off": NO_DROPOUT, "bf16": kind == "bfloat16"}
                    contenders |= {
                        f"nearfar, unique, {kind}": ("nearfar", base | lone | {"precision": kind}),
                        f"peer, unique, {kind}, no dropout": ("peer", theirs | lone | still),
                    }
            found = interleaved(contenders, chosen.rounds)
            figures = Figures("training.py speed", data, not chosen.quick)
            figures.speeds(found, 64, data)
            figures.ratio(found, "nearfar, its defaults", "peer, its defaults", data, 8)
            figures.ratio(found, "nearfar, documents shared", "peer, its defaults", data, 8)
            figures.ratio(found, "nearfar, its defaults", "peer, its best settings", data, 3.5)
            figures.ratio(found, "nearfar, documents shared", "peer, its best settings", data, 3.5)
            if data == "fairytaleqa":
                for kind in ("float32", "bfloat16"):
                    figures.ratio(found, f"nearfar, unique, {kind}",
                                  f"peer, unique, {kind}, no dropout", data, 2)  # fmt: skip
            figures.write()


def products(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.jsonl"
        write_pairs(DATA / "fairytaleqa", pairs, 7 * 64, unique=True)
        figures = Figures("training.py products", "fairytaleqa", not chosen.quick)
        for kind, least in (("float32", 0.85), ("bfloat16", 0.7)):
            options = {"pairs": str(pairs), "steps": 2 if chosen.quick else 7, "precision": kind}
            rounds = [run("nearfar", options)["utilisation"] for _ in range(chosen.rounds)]
            figures.add(f"matrix products' share of a step, {kind}", max(rounds),
                        "share of the machine's measured rate", f">= {least}",
                        max(rounds) >= least, rounds=rounds)  # fmt: skip
        figures.write()


def loss(chosen: argparse.Namespace) -> None:
    options = {"count": 1_024 if chosen.quick else 8_192, "dim": 384, "steps": 4}
    found = interleaved(
        {
            "nearfar": ("loss", options | {"peer": False}),
            "peer": ("loss", options | {"peer": True}),
        },
        chosen.rounds,
    )
    figures = Figures("training.py loss", "random vectors", not chosen.quick)
    figures.speeds(found, options["count"], "loss stage, 8,192 x 8,192 x 384 float32")
    figures.ratio(found, "nearfar", "peer", "loss stage", 2)
    share = (
        fastest(found["nearfar"])["memory_over_base_mb"]
        / fastest(found["peer"])["memory_over_base_mb"]
    )
    figures.add("loss stage memory, nearfar over peer", share, "of the peer's", "<= 0.1",
                share <= 0.1)  # fmt: skip
    figures.write()


def static(chosen: argparse.Namespace) -> None:
    size = 256 if chosen.quick else 2_048
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.jsonl"
        write_pairs(DATA / "medquad", pairs, 8_192, unique=True)
        options = {"pairs": str(pairs), "pairs_per_step": size, "steps": 5, "dim": 256}
        found = interleaved(
            {"nearfar's loss around an embedding bag": ("static", options | {"peer": False}),
             "peer": ("static", options | {"peer": True})},
            chosen.rounds,
        )  # fmt: skip
    figures = Figures("training.py static", "medquad", not chosen.quick)
    figures.speeds(found, size, "static encoder, batch 2,048")
    figures.ratio(found, "nearfar's loss around an embedding bag", "peer", "static encoder", 3)
    figures.write()


def memory(chosen: argparse.Namespace) -> None:
    figures = Figures("training.py memory", "fairytaleqa", not chosen.quick)
    for size, peers in ((256, BEST), (2_048, BEST | {"cached": True})):
        size = 32 if chosen.quick else size
        with tempfile.TemporaryDirectory() as folder:
            pairs = Path(folder) / "pairs.jsonl"
            write_pairs(DATA / "fairytaleqa", pairs, 2 * size, unique=False)
            few = 128 if size == 2_048 else 512
            options = {"pairs": str(pairs), "steps": 1 if size == 2_048 else 2}
            training = {"pairs_per_step": size, "memory_mb": few}
            found = interleaved(
                {"nearfar": ("nearfar", options | {"training": training}),
                 "peer": ("peer", options | peers | {"pairs_per_step": size})},
                1,
            )  # fmt: skip
        ours, theirs = (fastest(found[name])["peak_memory_mb"] for name in ("nearfar", "peer"))
        what = f"peak memory at batch {size}" + (
            ", peer's cached loss" if "cached" in peers else ""
        )
        figures.speeds(found, size, what)
        figures.add(what, ours / theirs, "of the peer's", "<= 0.35", ours <= 0.35 * theirs,
                    nearfar_mb=round(ours), peer_mb=round(theirs))  # fmt: skip
    figures.write()


def big(chosen: argparse.Namespace) -> None:
    figures = Figures("training.py big", "random vectors; fairytaleqa", not chosen.quick)
    count = 4_096 if chosen.quick else 65_536
    vectors = run("loss", {"count": count, "dim": 384, "steps": 1, "peer": False})
    figures.add("batch of 65,536 static vectors, peak memory", vectors["peak_memory_mb"] / 1024,
                "GiB", "< 6", vectors["peak_memory_mb"] < 6 * 1024,
                seconds=round(vectors["seconds_per_step"], 1))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.jsonl"
        size = 128 if chosen.quick else 4_096
        write_pairs(DATA / "fairytaleqa", pairs, size, unique=False)
        training = {"pairs_per_step": size, "memory_mb": 512}
        found = run("nearfar", {"pairs": str(pairs), "steps": 1, "training": training})
    figures.add("batch of 4,096 MiniLM, peak memory", found["peak_memory_mb"] / 1024, "GiB", "< 6",
                found["peak_memory_mb"] < 6 * 1024,
                seconds=round(found["seconds_per_step"], 1))  # fmt: skip
    figures.write()


def main() -> None:
    from quality_in_time import quality

    commands = {"speed": speed, "products": products, "loss": loss, "static": static,
                "memory": memory, "big": big, "quality": quality}  # fmt: skip
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(commands), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a few steps; nothing is recorded")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(commands):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(commands)}")
    for name in chosen.names:
        print(f"\n{name}", flush=True)
        commands[name](chosen)


if __name__ == "__main__":
    main()
