"""A small world to teach in: a text ends with a number, and a document answers the same number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.model.calibration import Calibration, Honesty
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Split

Judged = tuple[str, str, float, Split, str]  # query, document, grade, split, kind of origin


@dataclass
class NumberReranker:
    """Scores a pair by its two last numbers: logit = 3 - |query - document|. Counts its pairs."""

    fingerprint: str = "a" * 16
    scored: list[tuple[str, str]] = field(default_factory=list)

    def score(self, query: str, documents: Sequence[str]) -> Tensor:
        places = torch.arange(len(documents))
        return self.score_pairs([query], documents, torch.stack([places * 0, places], dim=1))

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Tensor,
        *,
        progress: Progress = silent,
    ) -> Tensor:
        texts = [(queries[q], documents[d]) for q, d in pairs.tolist()]
        self.scored += texts
        return torch.tensor([3 - abs(number(q) - number(d)) for q, d in texts])


def as_it_is(fingerprint: str = "a" * 16) -> Calibration:
    """Say that a reranker's logits are honest: p = 1 / (1 + exp(-z))."""
    return Calibration(reranker=fingerprint, kind="platt", slope=1.0, offset=0.0, pairs=99,
                       answers=9, before=Honesty(0, 0, 0), after=Honesty(0, 0, 0))  # fmt: skip


def number(text: str) -> float:
    return float(text.split()[-1])


def school(
    folder: Path,
    documents: Mapping[str, str],
    judged: Iterable[Judged],
    *,
    queries: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    scores: Mapping[tuple[str, str], float] | None = None,
) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for name, text in documents.items():
            group = (groups or {}).get(name, "")
            writer.add_document(Document(id=name, content=text, group=group))
        for name, text in (queries or {"q": "ask 0"}).items():
            writer.add_query(Query(id=name, content=text))
        for query, document, grade, split, kind in judged:
            origin = Origin(kind=kind, source="t:1", by="someone", at="2026-01-01",
                            facts={"score": 0.5})  # fmt: skip
            score = (scores or {}).get((query, document))
            writer.add_judgment(
                Judgment(query_id=query, document_id=document, grade=grade, origin=origin,
                         split=split, score=score)
            )  # fmt: skip
    return Dataset.open(folder)


def judgments(folder: Path) -> dict[tuple[str, str], Judgment]:
    found = list(Dataset.open(folder).judgments())
    by_pair = {(one.query_id, one.document_id): one for one in found}
    assert len(by_pair) == len(found)  # one judgment a pair: no contradictions
    return by_pair


# Logits 3, 2, 0 and -6; the answer's probability is 0.95, half of it 0.476, a logit of -0.1.
TEXTS = {"answer": "an answer 0", "near": "one 1", "unsure": "two 3", "far": "three 9"}
JUDGED: list[Judged] = [
    ("q", "answer", 1, "train", "human"),
    ("q", "near", 0, "train", "mined"),
    ("q", "unsure", 0, "train", "mined"),
    ("q", "far", 0, "train", "mined"),
]
