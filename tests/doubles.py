"""Stand-ins that keep a real contract, only smaller."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.vectors.similarity import unit

LETTERS = EmbeddingSpace(
    weights="letters",
    architecture="letters",
    tokenizer="letters",
    query_prompt="",
    document_prompt="",
    max_tokens=1_000,
    pooling="mean",
    normalised=True,
    dim=26,
)


class LetterEncoder:
    """Counts letters: texts that share letters lie close. A real Encoder without weights."""

    def __init__(self, space: EmbeddingSpace = LETTERS) -> None:
        self.space = space

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in contents]
        return unit(torch.tensor(rows, dtype=torch.float32).reshape(len(contents), 26))
