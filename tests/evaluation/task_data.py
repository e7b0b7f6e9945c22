"""Small datasets for tasks beyond retrieval, and a model that is worse than counting letters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from doubles import LETTERS, LetterEncoder
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role, Split

Pair = tuple[str, str, float, Split]  # texts that name themselves, a grade, a split
Fields = Mapping[str, Mapping[str, str]]
NONE: Fields = MappingProxyType({})
WORDS = (
    *("apple", "banana", "cherry", "date", "elder", "fig", "grape", "hazel", "iris", "jasmine"),
    *("kiwi", "lemon", "mango", "nutmeg", "olive", "pear", "quince", "rose", "sage", "thyme"),
    *("ume", "violet", "walnut", "xylia", "yam", "zinnia"),
)


class EndEncoder(LetterEncoder):
    """Sees the last letter of a text alone: another space, and a worse one."""

    def __init__(self) -> None:
        super().__init__(replace(LETTERS, weights="ends"))

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        return super().encode([text[-1:] for text in contents], role)


def written(folder: Path, pairs: Sequence[Pair], *, kind: str, fields: Fields = NONE) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for number, (one, other, grade, split) in enumerate(pairs):
            writer.add(Query(id=one, content=one, source="x", fields=fields.get(one, {})))
            writer.add(Document(id=other, content=other, source="x", fields=fields.get(other, {})))
            origin = Origin(kind=kind, source=f"x:{number}")
            writer.add(Judgment(query_id=one, document_id=other, grade=grade, split=split,
                                origin=origin))  # fmt: skip
    return Dataset.open(folder)


def graded(folder: Path, splits: Sequence[Split] = ("test",)) -> Dataset:
    """Pairs of words, and how many letters they share, with some noise."""
    dice = np.random.default_rng(0)
    pairs: list[Pair] = []
    for split in splits:
        for _ in range(40):
            one, other = (" ".join(dice.choice(WORDS, 2)) for _ in range(2))
            share = len(set(one) & set(other)) / len(set(one) | set(other))
            grade = round(float(np.clip(share + dice.normal(0, 0.1), 0, 1)), 1)
            pairs.append((f"{split} {one}", f"{split} {other}.", grade, split))
    return written(folder, pairs, kind="sts")


def labelled(folder: Path) -> Dataset:
    """Texts of three labels; four of each are documents, the others ask for all of them."""
    alphabets = {"vowels": "aeiou", "early": "bcdfg", "late": "vwxyz"}
    dice = np.random.default_rng(1)
    texts = {label: sorted({"".join(dice.choice(list(letters), 7)) for _ in range(24)})
             for label, letters in alphabets.items()}  # fmt: skip
    pairs: list[Pair] = [
        (text, answer, 1.0, "train" if place < 10 else "test")
        for own in texts.values()
        for place, text in enumerate(own[4:])
        for answer in own[:4]
    ]
    fields = {text: {"intent": label, "lang": "en"} for label, own in texts.items() for text in own}
    return written(folder, pairs, kind="label", fields=fields)


def classified(folder: Path, splits: Sequence[Split]) -> Dataset:
    pairs: list[Pair] = []
    for split in splits:
        for number, word in enumerate(WORDS):
            other = WORDS[(number + 5) % len(WORDS)]
            pairs.append((f"{word} {split}", f"{word}s {split}", 1.0, split))
            pairs.append((f"{word} {split}", f"{other} {split}", 0.0, split))
    return written(folder, pairs, kind="human")
