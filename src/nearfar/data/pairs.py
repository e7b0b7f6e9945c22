"""Reads pairs and triplets, whatever their columns are called, into records."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from nearfar.data.columns import Columns
from nearfar.data.notes import Bundle, Record
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row
from nearfar.data.table import TableReader, plain, some, texts
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query


@dataclass
class PairsReader(TableReader):
    """Yields the records of a table of pairs or triplets.

    A row says one thing of its query and its document, so both get its group and its
    fields; a negative gets neither, as it comes from elsewhere. A text seen before keeps
    the group and the fields of its first row.
    """

    def bundles(self) -> Iterator[Bundle]:
        """Yield queries, documents and judgments as they come, and the negatives last.

        Raises:
            BadFile: the file is missing, damaged, or of a kind that is not read.
            BadRecord: a column is not there, a text is empty, or a grade is no number.
        """
        columns = self._columns()
        divided = self._divided()
        yield from self._each(lambda row: self._row(row, columns, divided))
        if columns.negative:  # a second reading, so that a text that is also an answer keeps
            yield from self._each(  # the group of the row that asks for it
                lambda row: self._negatives(row, columns), again=True
            )

    def _row(self, row: Row, columns: Columns, divided: bool) -> list[Record]:
        split = self._split(row, columns, divided)
        group = plain(row, columns.group)
        grade = grade_of(row, columns.grade)
        fields = self._fields(row, columns)
        (query,) = texts(row, columns.query, one=True)
        (query_id,) = _ids(row, columns.query_id, [query])
        source = row.where
        records: list[Record] = [
            Query(id=query_id, content=query, group=group, source=source, fields=fields)
        ]
        answers = texts(row, columns.document)
        for id, text in zip(_ids(row, columns.document_id, answers), answers, strict=True):
            records.append(Document(id=id, content=text, group=group, source=source, fields=fields))
            records.append(self._judgment(row, query_id, id, grade, split))
        for text in _negative_texts(row, columns):
            records.append(self._judgment(row, query_id, content_id(text), 0.0, split))
        return records

    def _negatives(self, row: Row, columns: Columns) -> list[Record]:
        empty = sum(not some(row.values.get(name)) for name in columns.negative or ())
        if empty:
            self.notes.left_out["negatives without a text"] += empty
        return [
            Document(id=content_id(text), content=text, source=row.where)
            for text in _negative_texts(row, columns)
        ]


class FaqReader(PairsReader):
    """Questions and their answers, as a FAQ or a help page has them."""

    usual: ClassVar = {
        "query": "question questions query q title faq question_en",
        "document": "answer answers response reply a body text content answer_en",
        "group": "group group_id page",
        "grade": "grade",
    }


class TitlesReader(PairsReader):
    """Titles, and the abstracts or bodies that stand below them."""

    usual: ClassVar = {
        "query": "title heading headline subject name",
        "document": "abstract body text content summary description paragraph",
        "group": "group group_id",
        "grade": "",
    }


def _negative_texts(row: Row, columns: Columns) -> list[str]:
    names = [name for name in columns.negative or () if some(row.values.get(name))]
    return [text for name in names for text in texts(row, name)]


def _ids(row: Row, column: str | None, contents: list[str]) -> list[str]:
    """Return the id of each text: the one given, or the hash of its content."""
    if not column:
        return [content_id(text) for text in contents]
    value = row.values.get(column)
    ids = value if isinstance(value, list) else [value]
    if len(ids) != len(contents) or any(id is None or id == "" for id in ids):
        raise BadRow(
            "bad id",
            f"{row.where}: expected {len(contents)} id(s) in {column!r}, found {value!r:.60}. "
            "Give every text its id, or leave the column out: a text then names itself.",
        )
    return [str(id) for id in ids]


def grade_of(row: Row, column: str | None) -> float:
    """Return the number of 0 or more in a column; 1 where there is no such column.

    Raises:
        BadRecord: it is something else.
    """
    if not column:
        return 1.0
    value = row.values.get(column)
    try:
        grade = float("nan" if value is None or isinstance(value, list | dict) else value)
    except (OverflowError, TypeError, ValueError):
        grade = math.nan
    if not (math.isfinite(grade) and grade >= 0):
        raise BadRow(
            "bad grade",
            f"{row.where}: expected a number of 0 or more as the grade in {column!r}, found "
            f"{value!r:.60}. Correct the row, or read without grades by naming none.",
        )
    return grade
