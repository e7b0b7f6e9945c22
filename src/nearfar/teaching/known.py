"""What a dataset's judgments say, as a teacher must know it before it is asked about anything.

Shapes: Q queries, C documents, J judgments of all splits, T of the train split, S documents that
may become candidates.
"""

import hashlib
from array import array
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.spool import short_hash
from nearfar.fingerprint import content_id
from nearfar.records import SPLITS, Judgment

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_TRAIN, _ASIDE = SPLITS.index("train"), SPLITS.index("aside")


@dataclass(frozen=True, slots=True)
class Known:
    """Texts by row, and the judgments of all splits as numbers, in the order of the file."""

    query_ids: Sequence[str]
    query_texts: Sequence[bytes]  # by row: shared by texts that differ in case and space alone
    document_ids: Sequence[str]
    document_texts: Sequence[bytes]
    groups: Sequence[str]  # of the documents
    documents: str  # names the texts of all documents in their order
    query: Ints  # (J,) rows
    document: Ints  # (J,) rows
    grade: npt.NDArray[np.float64]  # (J,)
    score: npt.NDArray[np.float32]  # (J,) a teacher's, of earlier; NaN: none
    split: npt.NDArray[np.uint8]  # (J,) places in SPLITS
    kind: Sequence[str]  # (J,) of the origins
    teacher: Sequence[str]  # (J,) whose the score is; empty: unknown
    was_negative: Bools  # (J,) a machine had chosen it for a negative, before a teacher graded it

    @property
    def taught(self) -> Bools:
        """Which judgments a teacher graded: it cannot be held against what it said itself."""
        return np.fromiter((kind == "taught" for kind in self.kind), bool, len(self.kind))

    def answers(self, regraded: Sequence[str]) -> Bools:
        """Return which judgments name an answer, and not one that a teacher may take back."""
        stands: Bools = self.grade > 0
        return stands & ~self.taught if "taught" in regraded else stands

    @property
    def train(self) -> Bools:
        """Which judgments may be scored: of the train split, and no answer that is measured."""
        measured = {
            (self.query_texts[self.query[j]], self.document_texts[self.document[j]])
            for j in np.flatnonzero((self.split != _TRAIN) & (self.grade > 0))
        }
        free: Bools = self.split == _TRAIN
        if measured:
            for j in np.flatnonzero(free):
                pair = self.query_texts[self.query[j]], self.document_texts[self.document[j]]
                free[j] = pair not in measured
        return free

    def candidates_for(self) -> set[int]:
        """Return the rows of the queries that train, and measure nothing."""
        train = (self.split == _TRAIN) & (self.grade > 0)
        measuring = (self.split != _TRAIN) & (self.split != _ASIDE)
        return set(self.query[train].tolist()) - set(self.query[measuring].tolist())

    def free_documents(self) -> Int[Tensor, " S"]:
        """Return the documents that no other split has a claim on, by their group or their text."""
        answers: dict[int, set[str]] = {place: set() for place in range(len(SPLITS))}
        for j in np.flatnonzero(self.grade > 0):
            answers[int(self.split[j])].add(self.groups[self.document[j]])
        aside, train = answers.pop(_ASIDE), answers.pop(_TRAIN)
        # A query is set aside when its answers lie in two splits; those that train also are free.
        kept_back = set().union(*answers.values(), aside - train)
        closed = {
            text
            for text, group in zip(self.document_texts, self.groups, strict=True)
            if group in kept_back
        }
        free = [row for row, text in enumerate(self.document_texts) if text not in closed]
        return torch.tensor(free, dtype=torch.long)


@dataclass(frozen=True, slots=True)
class Barred:
    """The documents that are never offered as new candidates for a query."""

    judged: dict[int, set[int]]  # by row of a query: rows with any judgment
    answers: dict[bytes, set[bytes]]  # by text of a query: texts of its answers, of any split

    def __call__(self, known: Known, query: int, document: int) -> bool:
        """Tell whether a document must not become a candidate."""
        text, asked = known.document_texts[document], known.query_texts[query]
        return (
            document in self.judged.get(query, ())
            or text == asked
            or text in self.answers.get(asked, ())
        )


def barred(known: Known, queries: AbstractSet[int]) -> Barred:
    """Return what some queries are never offered."""
    found = Barred({}, {})
    asked = {known.query_texts[query] for query in queries}
    for query, document, grade in zip(
        known.query.tolist(), known.document.tolist(), known.grade.tolist(), strict=True
    ):
        if query in queries:
            found.judged.setdefault(query, set()).add(document)
        if grade > 0 and known.query_texts[query] in asked:
            own = found.answers.setdefault(known.query_texts[query], set())
            own.add(known.document_texts[document])
    return found


def read_known(dataset: Dataset) -> Known:
    """Read ids, what tells texts apart, and all judgments; not the texts themselves.

    Memory: ids and about 60 bytes a text, about 50 bytes a judgment.

    Raises:
        BadFile: a table is missing or damaged.
    """
    document_ids: list[str] = []
    document_texts: list[bytes] = []
    groups: list[str] = []
    digest = hashlib.sha256()
    for batch in dataset.batches("documents", ["id", "content", "group"]):
        for row in batch.to_pylist():
            document_ids.append(row["id"])
            document_texts.append(_plain(row["content"]))
            groups.append(row["group"] or row["id"])
            digest.update(content_id(row["content"]).encode())
    query_ids: list[str] = []
    query_texts: list[bytes] = []
    for batch in dataset.batches("queries", ["id", "content"]):
        query_ids += batch["id"].to_pylist()
        query_texts += [_plain(content) for content in batch["content"].to_pylist()]
    judged = _Judged(query_ids, document_ids)
    for judgment in dataset.judgments():
        judged.see(judgment)
    return Known(
        query_ids=query_ids,
        query_texts=query_texts,
        document_ids=document_ids,
        document_texts=document_texts,
        groups=groups,
        documents=digest.hexdigest(),
        query=np.array(judged.query, dtype=np.int64),
        document=np.array(judged.document, dtype=np.int64),
        grade=np.array(judged.grade, dtype=np.float64),
        score=np.array(judged.score, dtype=np.float32),
        split=np.array(judged.split, dtype=np.uint8),
        kind=judged.kind,
        teacher=judged.teacher,
        was_negative=np.array(judged.was_negative, dtype=bool),
    )


class _Judged:
    """Judgments as numbers, while they are read."""

    def __init__(self, queries: Sequence[str], documents: Sequence[str]) -> None:
        self._query_rows = {id_: row for row, id_ in enumerate(queries)}
        self._document_rows = {id_: row for row, id_ in enumerate(documents)}
        self.query, self.document = array("i"), array("i")
        self.grade, self.score, self.split = array("d"), array("f"), array("B")
        self.was_negative = array("B")
        self.kind: list[str] = []
        self.teacher: list[str] = []
        self._words: dict[str, str] = {}

    def see(self, judgment: Judgment) -> None:
        assert judgment.split is not None  # the writer decides every split
        self.query.append(self._query_rows[judgment.query_id])
        self.document.append(self._document_rows[judgment.document_id])
        self.grade.append(judgment.grade)
        self.score.append(np.nan if judgment.score is None else judgment.score)
        self.split.append(SPLITS.index(judgment.split))
        kind, facts = judgment.origin.kind, judgment.origin.facts
        self.was_negative.append(kind == "taught" and "was" in facts)
        for words, word in ((self.kind, kind), (self.teacher, str(facts.get("teacher", "")))):
            words.append(self._words.setdefault(word, word))  # one string for all that share it


def _plain(content: str) -> bytes:
    return short_hash(" ".join(content.split()).casefold())
