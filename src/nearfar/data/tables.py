"""How records lie in Parquet: one plain column each, so that any tool can read them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from nearfar.errors import BadRecord
from nearfar.fingerprint import canonical_json
from nearfar.records import Document, Judgment, Origin, Query, Scalar

Row = dict[str, Any]

_ROWS_AT_ONCE = 256
TEXT_COLUMNS = ("id", "content", "group", "source")  # the rest of a text's columns are its fields
JUDGMENTS = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        ("grade", pa.float64()),
        ("split", pa.string()),
        ("origin_kind", pa.string()),
        ("origin_source", pa.string()),
        ("origin_by", pa.string()),
        ("origin_at", pa.string()),
        ("origin_facts", pa.string()),  # JSON: what only some kinds know; empty for none
        ("score", pa.float64()),
    ]
)
_ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class FieldTypes:
    """Learns which fields there are and the narrowest type that holds each."""

    def __init__(self) -> None:
        self._types: dict[str, type] = {}

    def see(self, text: Document | Query) -> None:
        """Take note of the fields of one more record.

        Raises:
            BadRecord: a field bears the name of a column that every record has.
        """
        for name, value in text.fields.items():
            if name in TEXT_COLUMNS:
                raise BadRecord(
                    f"{text.source or text.id}: a field may not be called {name!r}, since every "
                    "record has a column of that name. Rename it."
                )
            known = self._types.get(name, type(value))
            self._types[name] = known if known is type(value) else _both(known, type(value))

    def schema(self) -> pa.Schema:
        """Return the columns of a table of texts with these fields, fields in order of name."""
        columns = [(name, pa.string()) for name in TEXT_COLUMNS]
        columns += [(name, _ARROW_TYPES[self._types[name]]) for name in sorted(self._types)]
        return pa.schema(columns)


def _both(one: type, other: type) -> type:
    return float if {one, other} == {int, float} else str


def text_row(text: Document | Query) -> Row:
    """Return a document or a query as one row, its fields beside its own columns."""
    own = {name: getattr(text, name) for name in TEXT_COLUMNS}
    return own | dict(text.fields)


def judgment_row(judgment: Judgment) -> Row:
    """Return a judgment as one row, its origin spread over five columns."""
    origin = judgment.origin
    return {
        "query_id": judgment.query_id,
        "document_id": judgment.document_id,
        # Not NaN, which is above 0 to DuckDB and Polars.
        "grade": None if math.isnan(judgment.grade) else float(judgment.grade),
        "split": judgment.split,
        "origin_kind": origin.kind,
        "origin_source": origin.source,
        "origin_by": origin.by,
        "origin_at": origin.at,
        "origin_facts": canonical_json(dict(origin.facts)) if origin.facts else "",
        "score": judgment.score,
    }


def as_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table; what a row lacks is null, and mixed fields become text."""
    columns = {
        column.name: [_fit(row.get(column.name), column.type) for row in rows] for column in schema
    }
    return pa.table(columns, schema=schema)


def _fit(value: Scalar | None, kind: pa.DataType) -> Scalar | None:
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return float(value)  # a whole number among others, however large
    return str(value) if pa.types.is_string(kind) else value


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """Yield rows as Python values, a few at a time: a batch of long texts is large."""
    for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
        yield from batch.slice(start, _ROWS_AT_ONCE).to_pylist()


def documents(batch: pa.RecordBatch) -> Iterator[Document]:
    """Yield the documents of one batch of a table."""
    for row in _rows(batch):
        own, fields = _halves(row)
        yield Document(**own, fields=fields)


def queries(batch: pa.RecordBatch) -> Iterator[Query]:
    """Yield the queries of one batch of a table."""
    for row in _rows(batch):
        own, fields = _halves(row)
        yield Query(**own, fields=fields)


def judgments(batch: pa.RecordBatch) -> Iterator[Judgment]:
    """Yield the judgments of one batch of a table."""
    for row in _rows(batch):
        origin = Origin(
            kind=row["origin_kind"],
            source=row["origin_source"],
            by=row["origin_by"],
            at=row["origin_at"],
            facts=json.loads(row["origin_facts"] or "{}"),
        )
        yield Judgment(
            query_id=row["query_id"],
            document_id=row["document_id"],
            grade=math.nan if row["grade"] is None else row["grade"],
            origin=origin,
            split=row["split"],
            score=row["score"],
        )


def _halves(row: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Scalar]]:
    own = {name: row[name] for name in TEXT_COLUMNS}
    fields = {name: value for name, value in row.items() if name not in own and value is not None}
    return own, fields
