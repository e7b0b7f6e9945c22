"""Rows that break their contract: refused one by one, or set aside so that nothing is lost."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nearfar.errors import BadRecord, NearfarError

REJECTS = "rejects.jsonl"
_RAW_CHARACTERS = 2_000  # of a bad row that are kept, enough to find and mend it


class BadRow(BadRecord):
    """A row that breaks its contract, while the rows around it may be good.

    Args:
        reason: two or three words, by which such rows are counted.
        message: what was expected, found, where, and what to do next.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class Tally:
    """What became of the rows of a source. Each row that was read is in exactly one count."""

    read: int = 0
    accepted: int = 0  # something of it is in the dataset
    merged: int = 0  # all of it was in the dataset before
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    left_out: Counter[str] = field(default_factory=Counter)  # by reason, as the kind asks

    def facts(self) -> dict[str, Any]:
        """Return the counts as plain values, for the manifest."""
        return {
            "read": self.read,
            "accepted": self.accepted,
            "merged": self.merged,
            "rejected": dict(sorted(self.rejected.items())),
            "left_out": dict(sorted(self.left_out.items())),
        }


class Rejects:
    """Decides what happens to a bad row.

    Without a path the first one is refused. With a path each becomes a line of that file
    (source, line, reason, message, raw), and the reading goes on. A source may be read
    twice: a row that was set aside before is known, and counted once.
    """

    def __init__(self, path: Path | None = None, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()
        self._path = path
        self._file: IO[str] | None = None
        self._known: set[bytes] = set()

    @property
    def refusing(self) -> bool:
        """Tell whether the first bad row ends the reading."""
        return self._path is None

    def take(
        self, error: NearfarError, where: str, raw: object, *, reason: str = "", line: bool = False
    ) -> None:
        """Set a row aside, or raise its error if rows are refused.

        Args:
            error: what is wrong with it; a `BadRow` brings its reason.
            where: file:line, or file:row N.
            raw: its text, its bytes or its values.
            reason: by which it is counted.
            line: it could not even be read as a row, so no reader has counted it.
        """
        if self._path is None:
            raise error
        if where in self:
            return
        self._known.add(_key(where))
        reason = reason or (error.reason if isinstance(error, BadRow) else "broken")
        self.tally.rejected[reason] += 1
        self.tally.read += line
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8")
        source, _, place = where.rpartition(":")
        row = {
            "source": source,
            "line": int(place.removeprefix("row ")),
            "reason": reason,
            "message": str(error),
            "raw": _text(raw),
        }
        self._file.write(json.dumps(row, ensure_ascii=True) + "\n")

    def __contains__(self, where: str) -> bool:
        return bool(self._known) and _key(where) in self._known

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


REFUSE = Rejects()


def _key(where: str) -> bytes:
    return hashlib.blake2b(where.encode(), digest_size=15).digest()


def _text(raw: object) -> str:
    if isinstance(raw, bytes):
        text = raw[:_RAW_CHARACTERS].decode("utf-8", errors="backslashreplace")
    elif isinstance(raw, Mapping):
        text = json.dumps({name: _cut(value) for name, value in raw.items()},
                          ensure_ascii=False, default=str)  # fmt: skip
    else:
        text = str(raw)
    return text[:_RAW_CHARACTERS]


def _cut(value: object) -> object:
    return value[:_RAW_CHARACTERS] if isinstance(value, str) else value
