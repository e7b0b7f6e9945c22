"""What all readers of rows share: their columns, their splits, and one way through the rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol

from nearfar.data.columns import Columns, choose_columns
from nearfar.data.fields import scalar_fields
from nearfar.data.notes import Bundle, Notes, Record
from nearfar.data.rejects import BadRow, Rejects
from nearfar.data.rows import SPLIT_NAMES, Row, read_rows, split_names
from nearfar.errors import BadRecord
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Origin, Query, Scalar, Split

_ROWS_LOOKED_AT = 100  # for the names of the columns: a line of JSON may lack some


class RowSource(Protocol):
    """Rows that come from elsewhere than a path."""

    def rows(self, rejects: Rejects) -> Iterator[Row]:
        """Yield the rows, in the same order each time."""
        ...

    def splits(self) -> list[str]:
        """Return what its parts are called."""
        ...


@dataclass
class TableReader(ABC):
    """A source of rows, as one kind of pairs reads it. A kind says what a row means."""

    source: Path | RowSource
    notes: Notes = field(default_factory=Notes)
    wanted: Columns = field(default_factory=Columns)
    keep_splits: bool = True  # False: divide anew by the hash of the groups
    kind: str = "human"  # of the origins
    rejects: Rejects = field(default_factory=Rejects)

    usual: ClassVar[Mapping[str, str]] = {}  # names of columns that this kind guesses
    needed: ClassVar[Sequence[str]] = ("query", "document")

    @abstractmethod
    def bundles(self) -> Iterator[Bundle]:
        """Yield what each row becomes, in order.

        Raises:
            BadFile: the file is missing, damaged, or of a kind that is not read.
            BadRecord: a column is not there; or a row breaks its contract, and is not set aside.
        """

    def records(self) -> Iterator[Record]:
        """Yield the records alone; raises what `bundles` raises."""
        for bundle in self.bundles():
            yield from bundle.records

    def _rows(self) -> Iterator[Row]:
        if isinstance(self.source, Path):
            return read_rows(self.source, self.rejects)
        return self.source.rows(self.rejects)

    def _each(
        self, make: Callable[[Row], list[Record] | str], *, again: bool = False
    ) -> Iterator[Bundle]:
        """Yield the bundle of each row; what breaks its contract is refused or set aside.

        Args:
            make: returns the records of a row, or why it is left out.
            again: the rows were counted before, and this is more of them.
        """
        for row in self._rows():
            self.rejects.tally.read += not again
            if row.where in self.rejects:
                continue
            try:
                made = make(row)
            except BadRow as error:
                self.rejects.take(error, row.where, row.values)
                continue
            left_out = made if isinstance(made, str) else ""
            records = () if isinstance(made, str) else tuple(made)
            yield Bundle(row.where, records, row.values, left_out, again)

    def _good_rows(self, fit: Callable[[Row], object]) -> Iterator[Row]:
        """Yield rows for a first look, without those that will be refused or set aside."""
        for row in self._rows():
            try:
                fit(row)
            except BadRow as error:
                self.rejects.take(error, row.where, row.values)
                continue
            yield row

    def _columns(self) -> Columns:
        first = list(islice(self._rows(), _ROWS_LOOKED_AT))
        if not first:
            raise BadRecord(f"{self.source}:1: expected at least one row, found none.")
        found = list(dict.fromkeys(name for row in first for name in row.values))
        where = first[0].where
        columns, sentence = choose_columns(found, self.wanted, where, self.usual, self.needed)
        if sentence:
            self.notes.say(sentence)
        return columns

    def _divided(self) -> bool:
        """Tell whether the parts of a folder divide it: a lone "train" does not."""
        source = self.source
        names = split_names(source) if isinstance(source, Path) else source.splits()
        if len(names) == 1:
            self.notes.say(
                f"The one split {names[0]!r} divides nothing: train, dev and test are divided "
                "by the hash of the groups."
            )
        return len(names) > 1

    def _split(self, row: Row, columns: Columns, divided: bool) -> Split | None:
        name = row.split if row.split and divided else plain(row, columns.split)
        if not name or not self.keep_splits:
            return None
        split = SPLIT_NAMES.get(name.strip().casefold())
        if split is None:
            raise BadRow(
                "unknown split",
                f"{row.where}: expected a split among {', '.join(SPLIT_NAMES)}, found {name!r}. "
                "Rename it, or let the groups be divided anew by their hash.",
            )
        return split

    def _fields(self, row: Row, columns: Columns) -> dict[str, Scalar]:
        if self.wanted.fields is None:  # later rows of JSON may have keys the first ones lack
            return scalar_fields(row.values, without=columns.used, notes=self.notes)
        named = {name: row.values.get(name) for name in self.wanted.fields}
        return scalar_fields(named, without=set(), notes=self.notes)

    def _judgment(
        self, row: Row, query_id: str, document_id: str, grade: float, split: Split | None,
        facts: Mapping[str, Scalar] | None = None,
    ) -> Judgment:  # fmt: skip
        return Judgment(
            query_id=query_id,
            document_id=document_id,
            grade=grade,
            origin=Origin(kind=self.kind, source=row.where, facts=facts or {}),
            split=split,
        )

    def _pair(
        self, row: Row, query: str, document: str, grade: float, split: Split | None,
        group: str = "", fields: Mapping[str, Scalar] | None = None,
    ) -> list[Record]:  # fmt: skip
        """Return a query, a document and what is known of both, named by their contents."""
        ids = content_id(query), content_id(document)
        more: dict[str, Any] = {"group": group, "source": row.where, "fields": fields or {}}
        return [
            Query(id=ids[0], content=query, **more),
            Document(id=ids[1], content=document, **more),
            self._judgment(row, *ids, grade, split),
        ]


def texts(row: Row, column: str | None, *, one: bool = False) -> list[str]:
    """Return the texts of a column: one, or several where the value is a list.

    Raises:
        BadRecord: one is missing, empty, no text, or holds a NUL character.
    """
    value = row.values.get(column or "")
    values = value if isinstance(value, list) and not one else [value]
    found = []
    for text in values or [None]:
        if not isinstance(text, str) and text is not None:
            raise BadRow(
                "not a text",
                f"{row.where}: expected text in {column!r}, found {type(text).__name__} "
                f"{text!r:.60}. Correct the row, or name another column.",
            )
        if not text or not text.strip():
            raise BadRow(
                "empty text",
                f"{row.where}: {column!r} is missing or empty. Each row needs a query and an "
                "answer; fill it in or remove the row.",
            )
        if "\0" in text:
            raise BadRow(
                "NUL byte",
                f"{row.where}: the text in {column!r} holds a NUL character, which is no text. "
                "Remove the character or the row.",
            )
        found.append(text.strip())
    return found


def text_of(row: Row, column: str | None) -> str:
    """Return the one text of a column; raises what `texts` raises."""
    return texts(row, column, one=True)[0]


def some(value: Any) -> bool:
    """Tell whether a value says anything."""
    return bool(value.strip()) if isinstance(value, str) else value is not None and value != []


def plain(row: Row, column: str | None) -> str:
    """Return a value as a string; empty where there is none."""
    value = row.values.get(column) if column else None
    return "" if value is None else str(value)
