"""Shown pages on disk as plain numbers: a log is parsed once, and looked at several times."""

import hashlib
import json
import secrets
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

PAGE = np.dtype(
    [
        ("query", "i4"),
        ("session", "i4"),  # -1: not known
        ("person", "i4"),  # -1: not known
        ("robot", "?"),  # by its own account
        ("time", "f8"),  # seconds since 1970; NaN: not known
        ("file", "i4"),
        ("line", "i8"),
    ]
)
EVENT = np.dtype(
    [
        ("page", "i8"),
        ("document", "i4"),
        ("rank", "u1"),  # from 1; all that lies deeper counts as DEEPEST
        ("clicked", "?"),
        ("satisfied", "?"),
        ("skipped", "?"),  # not clicked, and something below it was
    ]
)
DEEPEST = 100
_ROWS_HELD = 50_000
_EVENTS_PER_CHUNK = 1_000_000

Rows = NDArray[np.void]


class Numbers:
    """Numbers names as they come; the names themselves are not kept, only a salted hash.

    The salt is thrown away with the object, so that a hash cannot be looked up later.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._of: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._of)

    def number(self, name: str) -> int:
        """Return the number of a name, a new one if it was never seen; -1 for no name."""
        if not name:
            return -1
        hash = hashlib.blake2b(name.encode(), digest_size=12, salt=self._salt).digest()
        return self._of.setdefault(hash, len(self._of))


class ClickSpool:
    """Two files of fixed-width rows in a folder: pages, and what they showed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._held: dict[str, list[tuple[object, ...]]] = {"pages": [], "events": []}
        for name in self._held:
            self._files[name] = (folder / name).open("wb")
        self.page_count = 0

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.close()

    def add(self, page: tuple[object, ...], events: list[tuple[object, ...]]) -> None:
        """Keep a page, as in PAGE, and its events, as in EVENT but without the page."""
        self._held["pages"].append(page)
        self._held["events"] += [(self.page_count, *event) for event in events]
        self.page_count += 1
        if len(self._held["events"]) >= _ROWS_HELD or len(self._held["pages"]) >= _ROWS_HELD:
            self.flush()

    def flush(self) -> None:
        """Bring to disk what is held."""
        for name, kind in (("pages", PAGE), ("events", EVENT)):
            self._files[name].write(np.array(self._held[name], dtype=kind).tobytes())
            self._files[name].flush()
            self._held[name].clear()

    def pages(self) -> Rows:
        """Return all pages; the system reads them from disk as they are looked at."""
        return self._rows("pages", PAGE)

    def event_chunks(self) -> list[Rows]:
        """Return all events, in pieces that fit in memory."""
        rows = self._rows("events", EVENT)
        return [rows[s : s + _EVENTS_PER_CHUNK] for s in range(0, len(rows), _EVENTS_PER_CHUNK)]

    def _rows(self, name: str, kind: np.dtype[np.void]) -> Rows:
        self.flush()
        path = self._folder / name
        if not path.stat().st_size:
            return np.empty(0, dtype=kind)
        return np.memmap(path, dtype=kind, mode="r")


class TextSpool:
    """A file of JSON lines: texts as they come, read again in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w", encoding="utf-8")

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep one more row."""
        self._file.write(json.dumps(row) + "\n")

    def rows(self, wanted: Container[int] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows that were kept so far, each with its number; or some of them."""
        self._file.flush()
        with self._path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if wanted is None or number in wanted:
                    yield number, json.loads(line)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
