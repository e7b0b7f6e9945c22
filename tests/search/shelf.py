"""A world to search in: a dataset in a few words, and texts no two of which are equally near."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from doubles import LetterEncoder
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role
from nearfar.search.index import Index, build_index
from nearfar.vectors.similarity import unit

DICE = np.random.default_rng(0)
WORDS = ["".join(DICE.choice(list("abcdefg"), 3)) for _ in range(40)]
TEXTS = [" ".join(DICE.choice(WORDS, DICE.integers(1, 9))) for _ in range(60)]
QUERIES = [" ".join(DICE.choice(WORDS, 3)) for _ in range(5)]


def shelf(
    folder: Path, texts: Sequence[str], side: Callable[[int], str] = lambda place: ""
) -> Dataset:
    """Write it; text i is document d<i>, its field `side` is side(i)."""
    origin = Origin(kind="human", source="x")
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i, text in enumerate(texts):
            fields = {"side": side(i)}
            writer.add(Document(id=f"d{i}", content=text, source=f"t:{i}", fields=fields))
        writer.add(Query(id="q", content="any", source="x"))
        writer.add(Judgment(query_id="q", document_id="d0", grade=1, origin=origin))
    return Dataset.open(folder)


class Scattered(LetterEncoder):
    """Every text in a direction of its own: no two cosines are equal up to rounding."""

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        rows = [np.random.default_rng(list(text.encode())).standard_normal(26) for text in contents]
        return unit(torch.tensor(np.array(rows).reshape(-1, 26), dtype=torch.float32))


def filled(folder: Path) -> Index:
    """An index of TEXTS that knows words too; every third document is on the right side."""
    dataset = shelf(folder / "data", TEXTS, lambda place: "left" if place % 3 else "right")
    return build_index(Scattered(), dataset, folder / "index", lexical=True)


def cosines(query: str) -> list[float]:
    vectors = Scattered().encode([query, *TEXTS], "query")
    return (vectors[1:] @ vectors[0]).tolist()


def best(scores: Sequence[float], k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
