"""What a dataset's judgments already say, as a miner must know it before it calls anything wrong.

Shapes: C documents; S of them may be mined.
"""

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.fingerprint import content_id
from nearfar.records import Split

_Pairs = dict[str, dict[int, tuple[float, Split]]]  # query id, document row: grade and split


@dataclass(frozen=True, slots=True)
class Known:
    """The judgments of all splits, by the rows of the documents."""

    ids: Sequence[str]  # of the documents, by row
    texts: Sequence[str]  # what `text_key` makes of them, by row
    minable: Int[Tensor, " S"]  # rows that may become training material, ascending
    judged: Mapping[str, AbstractSet[int]]  # by query id: the rows with any judgment
    own_answers: Mapping[str, AbstractSet[int]]  # by query id: the rows judged above 0
    answers: Mapping[str, AbstractSet[int]]  # by text_key of a query: of all that ask the same
    mined_for: AbstractSet[str]  # the ids of the queries that train, and do nothing else
    dev: AbstractSet[str]  # the ids of those with an answer that are of dev, and of nothing else
    documents: str  # names the texts of all rows in their order


def text_key(content: str) -> str:
    """Return a name that two texts share if they differ in nothing but case and white space.

    >>> text_key("A  cat ") == text_key("a cat")
    True
    """
    return content_id(" ".join(content.split()).casefold())


def read_known(dataset: Dataset) -> Known:
    """Read all judgments, and what tells documents apart; not the texts themselves.

    Raises:
        BadFile: a table is missing or damaged.
    """
    ids: list[str] = []
    texts: list[str] = []
    groups: list[str] = []
    digest = hashlib.sha256()
    for batch in dataset.batches("documents", ["id", "content", "group"]):
        for row in batch.to_pylist():
            ids.append(row["id"])
            texts.append(text_key(row["content"]))
            digest.update(content_id(row["content"]).encode())
            groups.append(row["group"] or row["id"])
    pairs = _pairs(dataset, {document_id: row for row, document_id in enumerate(ids)})
    own = {
        query_id: {row for row, (grade, _) in found.items() if grade > 0}
        for query_id, found in pairs.items()
    }
    return Known(
        ids=ids,
        texts=texts,
        minable=_minable(pairs, groups, texts),
        judged={query_id: set(found) for query_id, found in pairs.items()},
        own_answers=own,
        answers=_answers_by_text(dataset, own),
        mined_for=_only(pairs, own, "train"),
        dev=_only(pairs, own, "dev"),
        documents=digest.hexdigest(),
    )


def _only(pairs: _Pairs, own: Mapping[str, set[int]], wanted: Split) -> AbstractSet[str]:
    """Return the queries with an answer whose judgments are all of one split."""
    return {
        query_id
        for query_id, found in pairs.items()
        if own[query_id] and {split for _, split in found.values()} == {wanted}
    }


def _pairs(dataset: Dataset, rows: Mapping[str, int]) -> _Pairs:
    pairs: _Pairs = {}
    for judgment in dataset.judgments():
        assert judgment.split is not None  # the writer decides every split
        found = pairs.setdefault(judgment.query_id, {})
        row = rows[judgment.document_id]
        earlier = found.get(row, (0.0, judgment.split))
        # Judged twice: an answer for anyone is an answer, and what measures never trains.
        split = earlier[1] if judgment.split == "train" else judgment.split
        found[row] = (max(earlier[0], judgment.grade), split)  # the first of both where one is NaN
    return pairs


def _minable(pairs: _Pairs, groups: Sequence[str], texts: Sequence[str]) -> Int[Tensor, " S"]:
    """Return the documents that no other split has a claim on, by their group or their text."""
    answers: dict[Split, set[str]] = {"train": set(), "dev": set(), "test": set(), "aside": set()}
    for found in pairs.values():
        for row, (grade, split) in found.items():
            if grade > 0:
                answers[split].add(groups[row])
    # A query is set aside when its answers lie in two splits; those that train also are free.
    kept_back = answers["dev"] | answers["test"] | (answers["aside"] - answers["train"])
    closed = {text for text, group in zip(texts, groups, strict=True) if group in kept_back}
    free = [row for row, text in enumerate(texts) if text not in closed]
    return torch.tensor(free, dtype=torch.long)


def _answers_by_text(dataset: Dataset, own: Mapping[str, set[int]]) -> dict[str, set[int]]:
    answers: dict[str, set[int]] = {}
    for batch in dataset.batches("queries", ["id", "content"]):
        for row in batch.to_pylist():
            answers.setdefault(text_key(row["content"]), set()).update(own.get(row["id"], ()))
    return answers
