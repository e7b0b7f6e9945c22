"""Documents on disk: a Parquet table from which a few rows are fetched without the others."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.data import tables
from nearfar.errors import BadFile, BadSetting
from nearfar.records import Document

_ROWS_PER_GROUP = 256  # what must be read for one hit


@contextmanager
def write_documents(path: Path) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Yield a function that appends documents; all batches have the columns of the first."""
    writer: pq.ParquetWriter | None = None

    def append(batch: pa.RecordBatch) -> None:
        nonlocal writer
        if writer is None:
            writer = pq.ParquetWriter(path, batch.schema, compression="zstd")
        writer.write_batch(batch, row_group_size=_ROWS_PER_GROUP)

    try:
        yield append
    finally:
        if writer is not None:
            writer.close()


class Fetching(Protocol):
    """Has documents, such as those of an index."""

    def fetch(self, rows: Iterable[int]) -> dict[int, Document]:
        """Return the documents of some rows."""
        ...


class StoredDocuments:
    """The documents of an index, in the order of its vectors; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Read where the rows lie, not the rows.

        Raises:
            BadFile: the table is missing, damaged, or not one of documents.
        """
        self.path = path
        with _as_bad_file(path):
            self._file = pq.ParquetFile(path, memory_map=True)
        found = self._file.metadata
        groups = (found.row_group(i).num_rows for i in range(found.num_row_groups))
        self._ends = list(accumulate(groups))
        self._reading = Lock()  # a Parquet reader serves one at a time
        self._columns: dict[str, pa.ChunkedArray] = {}
        missing = [name for name in tables.TEXT_COLUMNS if name not in self._schema.names]
        if missing:
            raise BadFile(
                f"{path}: expected a table of documents, found no column {', '.join(missing)}. "
                "Build the index again with `nearfar index`."
            )

    @property
    def _schema(self) -> pa.Schema:
        return self._file.schema_arrow

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that a search can be narrowed by."""
        return tuple(name for name in self._schema.names if name not in tables.TEXT_COLUMNS)

    def fetch(self, rows: Iterable[int]) -> dict[int, Document]:
        """Return the documents of some rows; each part of the file is read once.

        Raises:
            BadFile: the table is damaged where the rows lie.
        """
        wanted: dict[int, list[int]] = {}
        for row in sorted(set(rows)):
            wanted.setdefault(bisect_right(self._ends, row), []).append(row)
        found: dict[int, Document] = {}
        for group, members in wanted.items():
            with self._reading, _as_bad_file(self.path):
                table = self._file.read_row_group(group, use_threads=False)
            first = self._ends[group - 1] if group else 0
            some = table.take([row - first for row in members])
            documents = (one for batch in some.to_batches() for one in tables.documents(batch))
            found.update(zip(members, documents, strict=True))
        return found

    def rows_where(self, where: Mapping[str, str]) -> Int[Tensor, " S"]:
        """Return the rows whose fields have exactly these values, ascending.

        Raises:
            BadSetting: there is no such field, or a value is not of the field's type.
            BadFile: the table is damaged.
        """
        keep = pa.array(np.ones(len(self), dtype=bool))
        for name, text in where.items():
            same = pc.equal(self._column(name), self._value(name, text))
            keep = pc.and_(keep, pc.fill_null(same, False))
        return torch.tensor(pc.indices_nonzero(keep).to_numpy().astype("int64"))

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self.fields:
            raise BadSetting(
                f"The documents have no field {name!r} to search by. "
                f"Choose from: {', '.join(self.fields) or 'none, they have no fields'}."
            )
        if name not in self._columns:
            with self._reading, _as_bad_file(self.path):
                self._columns[name] = self._file.read([name])[name].combine_chunks()
        return self._columns[name]

    def _value(self, name: str, text: str) -> pa.Scalar:
        kind = self._schema.field(name).type
        try:
            return pa.scalar(text).cast(kind)
        except pa.ArrowInvalid as error:
            raise BadSetting(
                f"The field {name!r} holds {kind} values, and {text!r} is none. "
                "Give a value of that type."
            ) from error


@contextmanager
def _as_bad_file(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise BadFile(
            f"{path}: expected the documents of an index, and it cannot be read ({error}). "
            "Build the index again with `nearfar index`."
        ) from error
