"""Reads pairs and triplets, whatever their columns are called, into records."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from nearfar.data.columns import Columns, choose_columns
from nearfar.data.fields import scalar_fields
from nearfar.data.notes import Notes, Record
from nearfar.data.rows import SPLIT_NAMES, Row, read_rows, split_names
from nearfar.errors import BadRecord
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Origin, Query, Scalar, Split

_ROWS_LOOKED_AT = 100  # for the names of the columns: a line of JSON may lack some


@dataclass
class PairsReader:
    """Yields the records of a table of pairs or triplets.

    A row says one thing of its query and its document, so both get its group and its
    fields; a negative gets neither, as it comes from elsewhere. A text seen before keeps
    the group and the fields of its first row.
    """

    source: Path
    notes: Notes = field(default_factory=Notes)
    wanted: Columns = field(default_factory=Columns)
    keep_splits: bool = True  # False: divide anew by the hash of the groups
    kind: str = "human"

    def records(self) -> Iterator[Record]:
        """Yield queries, documents and judgments as they come, and the negatives last.

        Raises:
            BadFile: the file is missing, damaged, or of a kind that is not read.
            BadRecord: a column is not there, a text is empty, or a grade is no number.
        """
        columns = self._columns()
        divided = self._splits_mean_something()
        for row in read_rows(self.source):
            yield from self._row(row, columns, divided)
        if columns.negative:  # a second reading, so that a text that is also an answer keeps
            for row in read_rows(self.source):  # the group of the row that asks for it
                yield from self._negatives(row, columns)

    def _columns(self) -> Columns:
        first = list(islice(read_rows(self.source), _ROWS_LOOKED_AT))
        if not first:
            raise BadRecord(f"{self.source}:1: expected at least one row, found none.")
        found = list(dict.fromkeys(name for row in first for name in row.values))
        columns, sentence = choose_columns(found, self.wanted, first[0].where)
        if sentence:
            self.notes.say(sentence)
        return columns

    def _splits_mean_something(self) -> bool:
        """Tell whether the parts of a folder divide it: a lone "train" does not."""
        names = split_names(self.source)
        if len(names) == 1:
            self.notes.say(
                f"The one split {names[0]!r} divides nothing: train, dev and test are divided "
                "by the hash of the groups."
            )
        return len(names) > 1

    def _row(self, row: Row, columns: Columns, divided: bool) -> Iterator[Record]:
        split = self._split(row, columns, divided)
        group = _plain(row, columns.group)
        grade = _grade(row, columns.grade)
        fields = self._fields(row, columns)
        (query,) = _texts(row, columns.query, one=True)
        (query_id,) = _ids(row, columns.query_id, [query])
        yield Query(id=query_id, content=query, group=group, source=row.where, fields=fields)
        texts = _texts(row, columns.document)
        for id, text in zip(_ids(row, columns.document_id, texts), texts, strict=True):
            yield Document(id=id, content=text, group=group, source=row.where, fields=fields)
            yield self._judgment(row, query_id, id, grade, split)
        for text in _negative_texts(row, columns):
            yield self._judgment(row, query_id, content_id(text), 0.0, split)

    def _fields(self, row: Row, columns: Columns) -> dict[str, Scalar]:
        if self.wanted.fields is None:  # later rows of JSON may have keys the first ones lack
            return scalar_fields(row.values, without=columns.used, notes=self.notes)
        named = {name: row.values.get(name) for name in self.wanted.fields}
        return scalar_fields(named, without=set(), notes=self.notes)

    def _negatives(self, row: Row, columns: Columns) -> Iterator[Record]:
        for text in _negative_texts(row, columns):
            yield Document(id=content_id(text), content=text, source=row.where)
        empty = sum(not _some(row.values.get(name)) for name in columns.negative or ())
        if empty:
            self.notes.left_out["negatives without a text"] += empty

    def _judgment(
        self, row: Row, query_id: str, document_id: str, grade: float, split: Split | None
    ) -> Judgment:
        return Judgment(
            query_id=query_id,
            document_id=document_id,
            grade=grade,
            origin=Origin(kind=self.kind, source=row.where),
            split=split,
        )

    def _split(self, row: Row, columns: Columns, divided: bool) -> Split | None:
        name = row.split if row.split and divided else _plain(row, columns.split)
        if not name or not self.keep_splits:
            return None
        split = SPLIT_NAMES.get(name.strip().casefold())
        if split is None:
            raise BadRecord(
                f"{row.where}: expected a split among {', '.join(SPLIT_NAMES)}, found {name!r}. "
                "Rename it, or let the groups be divided anew by their hash."
            )
        return split


def _texts(row: Row, column: str | None, *, one: bool = False) -> list[str]:
    """Return the texts of a column: one, or several where the value is a list."""
    value = row.values.get(column or "")
    values = value if isinstance(value, list) and not one else [value]
    texts = []
    for text in values or [None]:
        if not isinstance(text, str) and text is not None:
            raise BadRecord(
                f"{row.where}: expected text in {column!r}, found {type(text).__name__} "
                f"{text!r:.60}. Correct the row, or name another column."
            )
        if not text or not text.strip():
            raise BadRecord(
                f"{row.where}: {column!r} is missing or empty. Each row needs a query and an "
                "answer; fill it in or remove the row."
            )
        texts.append(text.strip())
    return texts


def _negative_texts(row: Row, columns: Columns) -> list[str]:
    names = [name for name in columns.negative or () if _some(row.values.get(name))]
    return [text for name in names for text in _texts(row, name)]


def _some(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None and value != []


def _plain(row: Row, column: str | None) -> str:
    value = row.values.get(column) if column else None
    return "" if value is None else str(value)


def _ids(row: Row, column: str | None, texts: list[str]) -> list[str]:
    """Return the id of each text: the one given, or the hash of its content."""
    if not column:
        return [content_id(text) for text in texts]
    value = row.values.get(column)
    ids = value if isinstance(value, list) else [value]
    if len(ids) != len(texts) or any(id is None or id == "" for id in ids):
        raise BadRecord(
            f"{row.where}: expected {len(texts)} id(s) in {column!r}, found {value!r:.60}. "
            "Give every text its id, or leave the column out: a text then names itself."
        )
    return [str(id) for id in ids]


def _grade(row: Row, column: str | None) -> float:
    if not column:
        return 1.0
    value = row.values.get(column)
    try:
        grade = float("nan" if value is None or isinstance(value, list | dict) else value)
    except (TypeError, ValueError):
        grade = math.nan
    if not (math.isfinite(grade) and grade >= 0):
        raise BadRecord(
            f"{row.where}: expected a number of 0 or more as the grade in {column!r}, found "
            f"{value!r:.60}. Correct the row, or read without grades by naming none."
        )
    return grade
