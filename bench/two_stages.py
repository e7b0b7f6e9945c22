"""Two stages beside one: mined negatives, a cross-encoder's graded scores, reranking.

    python bench/two_stages.py [--sets fairytaleqa medquad] [--seeds 3] [--work FOLDER] [--quick]

Everything begins at all-MiniLM-L6-v2; for each seed:

    batch alone      a quarter of a pass, the other documents of a batch as negatives
    mined, default   the same with one mined negative a pair (as in mining.py, and shared with it)
    mined, longer    goes on from "mined, default" on a part of the pairs, twice
    distilled        goes on on the same part, once by the scores of a cross-encoder (listwise KL)
                     and once as before: as many steps
    reranked         the first 50 of "distilled", in the order of that cross-encoder

The cross-encoder, one for all seeds, is the same base with a new head, trained on a quarter of a
pass of the mined lists. nDCG@10 on test is compared query by query, the mean over seeds first;
reranking is measured on a part of the queries, the same each time. Texts are cut at 128 tokens,
pairs at 192. Figures land in bench/results/rerankers.json after every seed; with --work, models are
kept, and a run that was cut off goes on.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Figures
from mining import VARIANTS, add
from variants import (
    BASE,
    Kept,
    clusters_of,
    encoder,
    imported,
    mined,
    ndcg,
    on_test,
    once,
    part_of,
    trained,
)

FILE = "rerankers"
ALONE, FIRST, LONGER, LAST = "batch alone", "mined, default", "mined, longer", "distilled"
BEFORE, AFTER = "distilled, the queries that are reranked", "reranked"
PART = 0.15  # of the train queries, that are gone on with
CROSS = {"seed": 0, "learning_rate": 2e-4, "epochs": 0.25}
MORE = 5e-5  # learning rate
RERANKED_QUERIES, CANDIDATES = 200, 50
COMPARED = ((FIRST, ALONE), (LONGER, FIRST), (LAST, FIRST), (LAST, LONGER))


def main(chosen: argparse.Namespace) -> None:
    for name in chosen.sets:
        with tempfile.TemporaryDirectory() as folder:
            work = (chosen.work or Path(folder)) / name
            _measure(name, work, 1 if chosen.quick else chosen.seeds, chosen.quick)


def _measure(name: str, work: Path, seeds: int, quick: bool) -> None:
    from nearfar.evaluation.embedded import read_task

    plain = imported(name, work)
    hard = mined(plain, work, FIRST, VARIANTS[FIRST] or {})
    cross = _cross_encoder(hard, work, quick)
    taught = _taught(cross, part_of(hard, work / "part", 0.002 if quick else PART), work)
    task = read_task(plain, "test")
    part = read_task(plain, "test", queries=10 if quick else RERANKED_QUERIES)
    kept = Kept()
    for seed in range(seeds):
        print(f"{name}, seed {seed}", flush=True)
        _seed((plain, hard, taught), work / f"seed-{seed}", seed, kept, (task, part, cross), quick)
        figures = Figures(f"two_stages.py --sets {name}", name, not quick, file=FILE)
        _say(figures, name, kept, clusters_of(plain, task), clusters_of(plain, part))
        figures.write()


def _cross_encoder(hard: Any, work: Path, quick: bool) -> Any:
    from nearfar.losses import RerankingLossSettings
    from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
    from nearfar.training.course import Task

    fresh = CrossEncoder.load(BASE, CrossSettings(max_tokens=192, new_head=True, seed=0))
    lists = Task(dataset=hard, loss=RerankingLossSettings(name="listwise_softmax"))
    model, spent = trained(fresh, [lists], work / "cross-encoder", quick, **CROSS)
    print(f"  cross-encoder: {spent:.0f} CPU s", flush=True)
    return CrossEncoder.load(model)


def _taught(cross: Any, part: Any, work: Path) -> Any:
    from nearfar.data.dataset import Dataset
    from nearfar.teaching.settings import Teaching
    from nearfar.teaching.teach import Run, teach

    folder = work / "taught"

    def score() -> int:
        return teach(cross, part, folder, Teaching(), Run(replace=True)).pairs

    pairs, spent = once(work / "taught.json", score)
    print(f"  teaching: {pairs:,} pairs, {spent:.0f} CPU s", flush=True)
    return Dataset.open(folder)


def _seed(datasets: Any, work: Path, seed: int, kept: Kept, tested: Any, quick: bool) -> None:
    from nearfar.losses import LossSettings
    from nearfar.training.course import Task

    plain, hard, taught = datasets
    task, part, cross = tested
    add(kept, ALONE, plain, (plain, task), work, quick, seed=seed)
    first = add(kept, FIRST, hard, (plain, task), work, quick, seed=seed)

    def go_on(variant: str, tasks: list[Any], epochs: float) -> Path:
        model, spent = trained(encoder(first), tasks, work / variant, quick, seed=seed,
                               learning_rate=MORE, epochs=epochs)  # fmt: skip
        values, _ = once(work / f"{variant}, test.json",
                         lambda: on_test(encoder(model), plain, task))  # fmt: skip
        kept.add(variant, values, spent)
        return model

    scores = Task(dataset=taught, loss=LossSettings(name="listwise_kl"))
    go_on(LONGER, [Task(dataset=taught)], 2)
    last = go_on(LAST, [scores, Task(dataset=taught)], 1)
    (before, after), spent = once(work / "reranked.json",
                                  lambda: _reranked(encoder(last), cross, plain, part))  # fmt: skip
    kept.add(BEFORE, before, 0)
    kept.add(AFTER, after, spent)


def _reranked(model: Any, cross: Any, dataset: Any, task: Any) -> tuple[Any, Any]:
    import torch

    from nearfar.evaluation.embedded import contents_of, embed, rankings

    texts = contents_of(dataset, task)
    found = rankings(embed(model, dataset, task), CANDIDATES)
    pairs = torch.tensor([(row, task.row_of[id_]) for row, query in enumerate(task.queries)
                          for id_ in found[query.id]])  # fmt: skip
    logits = cross.score_pairs([query.content for query in task.queries], texts, pairs)
    again: dict[str, list[str]] = {query.id: [] for query in task.queries}
    for place in logits.argsort(descending=True, stable=True).tolist():
        query, document = pairs[place].tolist()
        again[task.queries[query].id].append(task.document_ids[document])
    return ndcg(found, task), ndcg(again, task)


def _say(figures: Figures, name: str, kept: Kept, clusters: list[str], of_part: list[str]) -> None:
    from nearfar.evaluation.intervals import estimate

    means = kept.say(figures, f"{name}, two stages: nDCG@10 on test")
    pairs = [(*pair, clusters) for pair in COMPARED]
    pairs.append((AFTER, BEFORE, of_part))
    for better, worse, own in pairs:
        found = estimate(np.asarray(means[better] - means[worse]), own, span=(-1, 1))
        figures.add(f"{name}, two stages: {better} minus {worse}", found.mean, "nDCG@10",
                    "interval above 0", found.above_zero,
                    interval=[found.low, found.high], queries=found.n)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=["fairytaleqa", "medquad"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep models here, and go on from them")
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    main(parser.parse_args())
