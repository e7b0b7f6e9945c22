"""The three tables on disk while a dataset is being written: Arrow batches, read again in order."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from nearfar.data.tables import JUDGMENTS, TEXT_COLUMNS, Row
from nearfar.records import Scalar

_ROWS_PER_BATCH = 20_000  # rows held in memory at once, or fewer:
_CHARACTERS_PER_BATCH = 4_000_000  # so that long texts need no more memory than short ones
_TEXTS = pa.schema([(name, pa.string()) for name in (*TEXT_COLUMNS, "fields")])  # fields: JSON
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SCHEMAS = {"documents": _TEXTS, "queries": _TEXTS, "judgments": JUDGMENTS}


class _Spool:
    """One table as a stream of Arrow batches."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._schema = schema
        self._file: IO[bytes] = path.open("wb")
        self._stream = pa.ipc.new_stream(self._file, schema)
        self._rows: list[tuple[Any, ...]] = []
        self._characters = 0

    def add(self, row: tuple[Any, ...], characters: int) -> None:
        self._rows.append(row)
        self._characters += characters
        if len(self._rows) == _ROWS_PER_BATCH or self._characters >= _CHARACTERS_PER_BATCH:
            self._write()

    def _write(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [
                pa.array(column, type=kind)
                for column, kind in zip(columns, self._schema.types, strict=True)
            ]
            self._rows, self._characters = [], 0
            self._stream.write_batch(pa.record_batch(arrays, schema=self._schema))

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._write()
        self._file.flush()
        with self.path.open("rb") as file:
            yield from pa.ipc.open_stream(file)

    def close(self) -> None:
        self._file.close()


class Spools:
    """One file for each table, in the folder that is being filled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spools: dict[str, _Spool] = {}

    def add(self, table: str, row: tuple[Any, ...], characters: int = 0) -> None:
        """Keep one more row of a table, its values in the order of the columns."""
        if table not in self._spools:
            self._spools[table] = _Spool(self._folder / f"{table}.arrows", _SCHEMAS[table])
        self._spools[table].add(row, characters)

    def batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table that were kept so far, in order."""
        if table in self._spools:
            yield from self._spools[table].batches()

    def drop(self, table: str) -> None:
        """Forget a table."""
        spool = self._spools.pop(table)
        spool.close()
        spool.path.unlink()

    def close(self) -> None:
        """Let go of the files; the folder is about to go, or has none left."""
        for spool in self._spools.values():
            spool.close()


def packed(fields: Mapping[str, Scalar]) -> str:
    """Return fields as one text: which there are is known only once every row was seen."""
    return _encode(dict(fields)) if fields else ""


def unpacked(fields: Sequence[str]) -> list[Row]:
    """Return the fields that `packed` packed."""
    return [json.loads(each) if each else {} for each in fields]


def short_hash(text: str) -> bytes:
    """Return 15 bytes that stand for a text in memory.

    120 bits: two of a billion different texts collide with a chance below 1 in 10^18. Python
    adds 33 bytes and counts in steps of 16, so one byte more would cost 16.
    """
    return hashlib.blake2b(text.encode(), digest_size=15).digest()
