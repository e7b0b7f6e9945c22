"""Rows on disk while a dataset is being written: kept as they come, read again in order."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from nearfar.data.tables import Row

_ROWS_PER_CHUNK = 20_000  # rows held in memory at once while a table is written, or fewer:
_CHARACTERS_PER_CHUNK = 8_000_000  # so that long texts need no more memory than short ones


class Spools:
    """One file of JSON lines for each table, in the folder that is being filled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}

    def add(self, table: str, row: Row) -> None:
        """Keep one more row of a table."""
        if table not in self._files:
            self._files[table] = self._path(table).open("w", encoding="utf-8")
        self._files[table].write(json.dumps(row) + "\n")

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table that were kept so far, in order."""
        if table not in self._files:
            return
        self._files[table].flush()
        with self._path(table).open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def drop(self, table: str) -> None:
        """Forget a table."""
        self._files.pop(table).close()
        self._path(table).unlink()

    def close(self) -> None:
        """Let go of the files; the folder is about to go, or has none left."""
        for file in self._files.values():
            file.close()

    def _path(self, table: str) -> Path:
        return self._folder / f"{table}.jsonl"


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in lists that fit in memory, however long their texts are."""
    chunk: list[Row] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += len(row.get("content", ""))
        if len(chunk) == _ROWS_PER_CHUNK or characters >= _CHARACTERS_PER_CHUNK:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def short_hash(text: str) -> bytes:
    """Return 16 bytes that stand for a text in memory."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
