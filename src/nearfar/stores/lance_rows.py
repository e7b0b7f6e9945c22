"""Documents as rows of a Lance table, and conditions as its SQL."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import torch

from nearfar.data.words import words_of
from nearfar.records import Document, Scalar
from nearfar.stores.contract import Entry, Kind, Layout
from nearfar.stores.filters import Condition, Where

# A row is a piece. Only the first of a document carries what is said of it once.
DOCUMENT = ["id", "content", "group", "source", "fields"]
_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "truth": pa.bool_(),
}  # fmt: skip
_IDS_PER_ASKING = 2_000


def schema(layout: Layout) -> pa.Schema:
    """Return the columns of a layout; a field's own name may be no name of a column."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("piece", pa.int32(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("content", pa.large_string()),
            pa.field("group", pa.string()),
            pa.field("source", pa.string()),
            pa.field("fields", pa.string()),  # all of them, as JSON: they come back as they were
            pa.field("digest", pa.string()),
            *([pa.field("words", pa.large_string())] if layout.words else []),
            *(pa.field(f"f{at}", _TYPES[kind]) for at, kind in enumerate(layout.fields.values())),
            pa.field("vector", pa.list_(pa.float32(), layout.dim), nullable=False),
        ]
    )


def rows(entries: Iterable[Entry], layout: Layout) -> pa.Table:
    """Return one row for each piece of the entries, which were admitted before."""
    entries = list(entries)
    columns: dict[str, list[Any]] = {name: [] for name in schema(layout).names}
    del columns["vector"]
    for entry in entries:
        pieces = len(entry.pieces)
        columns["id"] += [entry.document.id] * pieces
        columns["piece"] += range(pieces)
        columns["start"] += [start for start, _ in entry.pieces]
        columns["end"] += [end for _, end in entry.pieces]
        for name, value in _said_once(entry, layout).items():
            columns[name] += [value] + [None] * (pieces - 1)
        for at, (name, kind) in enumerate(layout.fields.items()):
            columns[f"f{at}"] += [_column_value(entry.document.fields, name, kind)] * pieces
    vectors = torch.cat([entry.vectors.detach().cpu().float() for entry in entries])
    flat = pa.array(vectors.contiguous().view(-1).numpy())
    held = [
        pa.FixedSizeListArray.from_arrays(flat, layout.dim)
        if column.name == "vector"
        else pa.array(columns[column.name], column.type)
        for column in schema(layout)
    ]
    return pa.Table.from_arrays(held, schema=schema(layout))


def documents(table: pa.Table) -> Iterator[Document]:
    """Yield the documents of rows with the columns DOCUMENT."""
    for row in table.select(DOCUMENT).to_pylist():
        yield Document(**{**row, "fields": json.loads(row["fields"])})


def query_words(query: str) -> str:
    """Return the words of a query as the table holds them: none of them is an operator."""
    return " ".join(words_of(query))


def in_blocks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield ids, each once, as many as may be asked for at a time."""
    left = iter(dict.fromkeys(one for one in ids if _is_text(one)))
    while block := list(islice(left, _IDS_PER_ASKING)):
        yield block


def is_one_of(ids: Iterable[str]) -> str:
    """Return the condition that a row is a piece of one of these documents."""
    return f"id IN ({', '.join(_quoted(one) for one in ids)})"


def is_after(id_: str) -> str:
    """Return the condition that a row is the first of a document with an id above this one."""
    return f"piece = 0 AND id > {_quoted(id_)}" if id_ else "piece = 0"


def clause(where: Where, layout: Layout) -> str | None:
    """Return conditions, `checked` before, as SQL."""
    columns = {name: f"f{at}" for at, name in enumerate(layout.fields)}
    said = [_condition(one, columns[one.field], layout.fields[one.field]) for one in where]
    return " AND ".join(said) or None


def _condition(condition: Condition, column: str, kind: Kind) -> str:
    values = [_literal(value, kind) for value in condition.values]
    if len(values) == 1:
        return f"{column} {condition.sign} {values[0]}"
    if condition.sign == "=":
        return f"{column} IN ({', '.join(values)})"
    if condition.sign == "!=":
        return f"{column} NOT IN ({', '.join(values)})"
    raise ValueError(f"{condition.sign!r} takes one value, not {len(values)}")


def _literal(value: Scalar, kind: Kind) -> str:
    if kind == "text":
        return _quoted(str(value))
    if kind == "truth":
        return "true" if value else "false"
    # Read from text: the smallest integer has no literal, and -0.0 would not equal 0.0.
    return f"CAST('{value + 0!r}' AS {'BIGINT' if kind == 'integer' else 'DOUBLE'})"  # type: ignore[operator]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _said_once(entry: Entry, layout: Layout) -> dict[str, str]:
    document = entry.document
    said = {
        "content": document.content,
        "group": document.group,
        "source": document.source,
        "fields": json.dumps(dict(document.fields)),
        "digest": entry.digest,
    }
    return said | {"words": query_words(document.content)} if layout.words else said


def _column_value(fields: Mapping[str, Scalar], name: str, kind: Kind) -> Scalar | None:
    value = fields.get(name)
    return value if value is None or kind != "number" else float(value) + 0.0


def _is_text(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
