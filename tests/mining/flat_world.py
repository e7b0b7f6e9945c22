"""A flat world to mine in: each text has an angle, and two are as alike as the cosine between."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from doubles import LETTERS
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role, Split

HUMAN = Origin(kind="human", source="t:1")
Judged = tuple[str, str, float, Split]


class Angles:
    """A text ends with its angle in degrees."""

    space = replace(LETTERS, dim=2)

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        angles = torch.tensor([math.radians(float(text.split()[-1])) for text in contents])
        return torch.stack([angles.cos(), angles.sin()], dim=1)


def world(
    folder: Path,
    documents: Mapping[str, str],
    judged: Iterable[Judged],
    *,
    queries: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for name, text in documents.items():
            group = (groups or {}).get(name, "")
            writer.add_document(Document(id=name, content=text, group=group))
        for name, text in (queries or {"q": "ask 0"}).items():
            writer.add_query(Query(id=name, content=text))
        for query, document, grade, split in judged:
            writer.add_judgment(
                Judgment(
                    query_id=query, document_id=document, grade=grade, origin=HUMAN, split=split
                )
            )
    return Dataset.open(folder)


def mined(folder: Path) -> list[tuple[str, str]]:
    return [
        (judgment.query_id, judgment.document_id)
        for judgment in Dataset.open(folder).judgments()
        if judgment.origin.kind == "mined"
    ]


# The answer is at 20 degrees; its score is 0.94 and the ceiling at a margin of 0.05 is 0.893,
# which is 26.8 degrees. Within 11.5 degrees of it a text is its near-duplicate.
ANSWER = {"answer": "an answer 20"}
FAR = {"n40": "one 40", "n50": "two 50", "n60": "three 60", "n70": "four 70", "n80": "five 80"}
LEARN: list[Judged] = [("q", "answer", 1, "train")]
