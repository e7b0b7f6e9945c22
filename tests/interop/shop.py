"""A dataset for `mteb` to read: languages, kinds, grades, equal texts, spaces at the ends."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from doubles import LETTERS, LetterEncoder
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.fingerprint import fingerprint
from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role
from nearfar.vectors.similarity import unit

WORDS = ["".join(np.random.default_rng(i).choice(list("abcdefgh"), 3)) for i in range(50)]
LANGUAGES = ["de", "en", "fi"]  # of queries: 30, 25 and 5


def shop(folder: Path, *, twins: int = 10) -> Dataset:
    """Write 80 documents, of which some are word for word the same, and 61 queries."""
    dice = np.random.default_rng(5)
    texts = [" ".join(dice.choice(WORDS, dice.integers(2, 8))) for _ in range(80 - twins)]
    texts += texts[:twins]
    origin = Origin(kind="human", source="shop")
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i, text in enumerate(texts):
            text = f"  {text}\n" if i % 7 == 0 else text
            fields = {"kind": "tool" if i % 3 else "toy"}
            writer.add(Document(id=f"d{i:02}", content=text, source=f"t:{i}", fields=fields))
        for i in range(61):
            language = LANGUAGES[(i >= 30) + (i >= 55)]
            asked = " ".join(dice.choice(WORDS, 3))
            fields = {"language": language} if i < 60 else {}
            writer.add(Query(id=f"q{i}", content=asked, source=f"q:{i}", fields=fields))
            right, wrong = (f"d{place:02}" for place in dice.choice(80, 2, replace=False))
            for document, grade in (
                (right, 0.4 if i % 2 else 3.0),
                (wrong, 0.0 if i < 60 else 1.0),
                (f"d{i:02}", 1.4),
            ):
                judged = Judgment(query_id=f"q{i}", document_id=document, grade=grade,
                                  origin=origin, split="test")  # fmt: skip
                writer.add(judged)
    return Dataset.open(folder)


class Roles(LetterEncoder):
    """Every text in a direction of its own, another one as a query than as a document."""

    def __init__(self) -> None:
        super().__init__(EmbeddingSpace(**{**_choices(), "query_prompt": "ask: "}))
        self.asked: list[tuple[Role, int]] = []

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        self.asked.append((role, len(contents)))
        letters = super().encode(contents, role)
        seeds = [list((role + text).encode()) for text in contents]
        rows = [np.random.default_rng(seed).standard_normal(26) / 9 for seed in seeds]
        noise = torch.tensor(np.array(rows).reshape(-1, 26), dtype=torch.float32)
        return unit(letters + noise)


def _choices() -> dict[str, object]:
    return {name: value for name, value in LETTERS.to_json().items() if name != "fingerprint"}


class Lengths:
    """A reranker that likes long documents, and among equals none: a real one without weights."""

    def __init__(self) -> None:
        self.read = 0

    @property
    def fingerprint(self) -> str:
        return fingerprint({"lengths": 1})

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        self.read += len(documents)
        return torch.tensor([len(text.strip()) + len(query) / 100 for text in documents])

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        scores = [self.score(queries[q], [documents[d]]) for q, d in pairs.tolist()]
        return torch.cat(scores) if scores else torch.empty(0)
