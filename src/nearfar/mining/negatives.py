"""Hard negatives: documents that a model takes for the answer, and that are none.

Shapes: Q queries, C documents, D dimensions, K places.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import DatasetWriter, write_dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.mining.known import Known, read_known, text_key
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Judgment, Origin, Query
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

_ROWS_PER_CHUNK = 2_048  # documents embedded at once
_QUERIES_PER_CHUNK = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """How hard negatives are chosen. A query may get fewer than asked for, never a doubtful one."""

    negatives_per_query: int = 4
    depth: int = 50  # the nearest documents that are looked at
    relative_margin: float = 0.05  # 0 to 1: how far below the answer a negative must score
    near_duplicate_cosine: float = 0.98  # so close to an answer is an answer; above 1: off

    def __post_init__(self) -> None:
        for name in ("negatives_per_query", "depth"):
            if getattr(self, name) < 1:
                raise BadSetting(f"mining.{name} must be 1 or more, got {getattr(self, name)}.")
        if not 0 <= self.relative_margin <= 1:
            raise BadSetting(f"mining.relative_margin must be 0 to 1, got {self.relative_margin}.")
        if not self.near_duplicate_cosine > 0:
            raise BadSetting(
                "mining.near_duplicate_cosine must be above 0, got "
                f"{self.near_duplicate_cosine}. 1.1 turns the rule off."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningSummary:
    """What was mined, and what was looked at and refused."""

    queries: int  # of the train split, with an answer: those that were mined for
    queries_with_none: int  # of them, those that no document was a safe negative for
    negatives: int
    documents_kept_back: int  # never offered: they belong to dev or test
    refused: Mapping[str, int]  # candidates, each by the first reason that held


def mine_negatives(
    encoder: Encoder,
    dataset: Dataset,
    folder: Path,
    settings: Mining | None = None,
    *,
    progress: Progress = silent,
    replace: bool = False,
) -> MiningSummary:
    """Write the dataset again with judgments of grade 0 for the queries of its train split.

    Of a query's nearest documents, best first, those are taken that

        score <= answer - relative_margin * |answer|

    where `answer` is the score of its lowest-scoring answer: a negative judgment holds beside
    every answer of the query, so it must lie below all of them. Written so, the margin also
    points downwards where a score is below 0.

    Never taken: a document judged for this query in any split, or judged an answer to another
    query of the same text; the text of such an answer, or of the query, under another id; a
    near-duplicate of an answer; a document whose group holds an answer of dev or test. Queries
    of dev and test get no negatives. Nothing is drawn by chance: the same input, the same output.

    Memory: the vectors of all documents, 4 bytes a number, and their ids.

    Args:
        encoder: the model whose mistakes are wanted.
        dataset: stays as it is.
        folder: where the new dataset will stand.
        settings: how negatives are chosen; the defaults of `Mining` if None.
        progress: told while documents are embedded and queries mined.
        replace: take the place of a dataset that stands there.

    Raises:
        BadFile: the folder exists and `replace` is False, or is that of the dataset itself.
        BadRecord: the dataset has no query to mine for.

    Source: de Souza P. Moreira et al. 2024, arXiv:2407.15831, "TopK-PercPos". There the share
        is of the one answer of a pair; here of the lowest of all answers, and safe for signs.
    """
    settings = settings or Mining()
    _require_another_folder(folder, dataset)
    known = read_known(dataset)
    if not known.mined_for:
        raise BadRecord(
            f"{dataset.folder}: expected queries of the train split with an answer, found none. "
            "Import data with a train split, or with smaller shares for dev and test."
        )
    miner = _Miner(encoder, known, settings, _embed(encoder, dataset, len(known.ids), progress))
    parents = [_parent(dataset, encoder, settings)]
    licence = str(dataset.manifest.get("licence", "unknown"))
    with write_dataset(folder, licence=licence, parents=parents, replace=replace) as writer:
        _copy(dataset, writer)
        done = 0
        for chunk in _query_chunks(dataset, known.mined_for):
            for judgment in miner.mine(chunk):
                writer.add_judgment(judgment)
            done += len(chunk)
            progress("mine negatives", done, len(known.mined_for))
    return MiningSummary(
        queries=done,
        queries_with_none=miner.queries_with_none,
        negatives=miner.negatives,
        documents_kept_back=len(known.ids) - len(known.minable),
        refused=dict(miner.refused),
    )


@dataclass
class _Miner:
    """Goes through the queries, and counts."""

    encoder: Encoder
    known: Known
    settings: Mining
    vectors: Float[Tensor, "C D"]
    negatives: int = 0
    queries_with_none: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def mine(self, queries: list[Query]) -> Iterator[Judgment]:
        """Yield the negatives of some queries, in their order, the hardest first."""
        asked = unit(self.encoder.encode([query.content for query in queries], "query"))
        scores, rows = nearest(
            asked, self.vectors, self.settings.depth, among=self.known.minable
        )  # (Q, K)
        by = (
            f"nearfar exact top-{self.settings.depth}, space {self.encoder.space.fingerprint}, "
            f"margin {self.settings.relative_margin}"
        )
        for query, vector, some, places in zip(queries, asked, scores, rows, strict=True):
            case = self._case(query, vector, places)
            ranks = self._chosen(case, some.tolist(), places.tolist())
            self.negatives += len(ranks)
            self.queries_with_none += not ranks
            for rank in ranks:
                yield Judgment(
                    query_id=query.id,
                    document_id=self.known.ids[int(places[rank - 1])],
                    grade=0.0,
                    origin=Origin(kind="mined", source=f"{query.id} rank {rank}", by=by),
                    split="train",
                )

    def _case(
        self, query: Query, vector: Float[Tensor, " D"], places: Int[Tensor, " K"]
    ) -> "_Case":
        known = self.known
        key = text_key(query.content)
        lowest = (self.vectors[sorted(known.own_answers[query.id])] @ vector).min().item()
        answers = known.answers[key]
        likeness = (self.vectors[places] @ self.vectors[sorted(answers)].T).amax(dim=1)  # (K,)
        close = places[likeness >= self.settings.near_duplicate_cosine]
        return _Case(
            answers=answers,
            judged=known.judged[query.id],
            texts={known.texts[row] for row in answers},
            asked=key,
            close=set(close.tolist()),
            ceiling=lowest - self.settings.relative_margin * abs(lowest),
        )

    def _chosen(self, case: "_Case", scores: list[float], rows: list[int]) -> list[int]:
        """Return the ranks of the candidates that are safe, from 1."""
        chosen: list[int] = []
        for rank, (score, row) in enumerate(zip(scores, rows, strict=True), start=1):
            if len(chosen) == self.settings.negatives_per_query:
                break
            reason = case.refuse(row, self.known.texts[row], score)
            if reason is None:
                chosen.append(rank)
            else:
                self.refused[reason] += 1
        return chosen


@dataclass(frozen=True, slots=True)
class _Case:
    """What one query's candidates are held against."""

    answers: AbstractSet[int]
    judged: AbstractSet[int]
    texts: AbstractSet[str]
    asked: str
    close: AbstractSet[int]
    ceiling: float

    def refuse(self, row: int, text: str, score: float) -> str | None:
        """Return the first reason not to call a document wrong, or None."""
        reasons = {
            "an answer": row in self.answers,
            "judged already": row in self.judged,
            "the text of an answer": text in self.texts,
            "the text of the query": text == self.asked,
            "a near-duplicate of an answer": row in self.close,
            "too close to the answer's score": score > self.ceiling,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def _embed(
    encoder: Encoder, dataset: Dataset, count: int, progress: Progress
) -> Float[Tensor, "C D"]:
    vectors = torch.empty((count, encoder.space.dim))
    done = 0
    for batch in dataset.batches("documents", ["content"]):
        for start in range(0, len(batch), _ROWS_PER_CHUNK):
            texts = batch["content"].slice(start, _ROWS_PER_CHUNK).to_pylist()
            vectors[done : done + len(texts)] = unit(encoder.encode(texts, "document"))
            done += len(texts)
            progress("embed documents", done, count)
    return vectors


def _parent(dataset: Dataset, encoder: Encoder, settings: Mining) -> dict[str, Any]:
    return {
        "kind": "dataset",
        "path": str(dataset.folder),
        "digest": dataset.digest,
        "mined_with": {"space": encoder.space.fingerprint, **asdict(settings)},
    }


def _copy(dataset: Dataset, writer: DatasetWriter) -> None:
    for document in dataset.documents():
        writer.add_document(document)
    for query in dataset.queries():
        writer.add_query(query)
    for judgment in dataset.judgments():
        writer.add_judgment(judgment)


def _query_chunks(dataset: Dataset, ids: AbstractSet[str]) -> Iterator[list[Query]]:
    wanted = (query for query in dataset.queries() if query.id in ids)
    while chunk := list(islice(wanted, _QUERIES_PER_CHUNK)):
        yield chunk


def _require_another_folder(folder: Path, dataset: Dataset) -> None:
    if folder.resolve() == dataset.folder.resolve():
        raise BadFile(
            f"{folder}: this is the dataset that is mined, and it stays as it is. "
            "Name another folder for the new one."
        )
