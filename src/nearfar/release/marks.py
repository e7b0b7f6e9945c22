"""The journal of marks: JSON lines that only grow, and outlive whatever happens.

A line is a mark, a skip, or the taking back of the last one, and is on the disk before the next
pair is shown. Several labellers, or several windows of one, may write at once.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nearfar.errors import BadFile, said
from nearfar.release.queue import Pair

Did = Literal["mark", "skip", "undo"]

# On Windows a file is opened as text unless told otherwise, and its ends of lines are changed.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)

# What the grades of a scale mean, from 0: no answer.
GRADES: Mapping[str, tuple[str, ...]] = {
    "0-3": ("no answer", "touches it", "answers in part", "answers"),
    "yes-no": ("no answer", "answers"),
}
SCALES: Mapping[str, int] = {name: len(words) - 1 for name, words in GRADES.items()}  # the highest


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the journal."""

    query_id: str
    document_id: str
    did: Did
    grade: int | None  # of a mark
    scale: str  # what `SCALES` calls it
    by: str
    at: str  # ISO 8601
    seconds: float  # that the pair was looked at
    note: str = ""
    settles: bool = False  # a disagreement of others

    @property
    def pair(self) -> Pair:
        """Return the two ids."""
        return self.query_id, self.document_id


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that stands, and the line that it was made on."""

    line: Line
    number: int  # in the journal, from 1
    source: str  # name of the journal and number


class Journal:
    """A file of lines; what others write to it is seen at the next look."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            BadFile: a line is damaged, or this is no journal.
        """
        self.path = path
        self.lines: list[Line] = []
        self._end = 0
        self._mutex = threading.RLock()
        if path.is_dir():
            raise BadFile(f"{path}: expected a journal of marks, found a folder. Name a file.")
        self.refresh()
        if path.exists() and path.stat().st_size > self._end:
            with self.writing():  # waits for who may be writing, then mends the last line
                pass

    def refresh(self) -> None:
        """Read the lines that came since."""
        with self._mutex:
            if not self.path.exists():
                return
            with self.path.open("rb") as file:
                file.seek(self._end)
                for raw in file:
                    if not raw.endswith(b"\n"):
                        return  # being written, or never finished
                    self.lines.append(self._read(raw))
                    self._end += len(raw)

    @contextmanager
    def writing(self) -> Iterator[Callable[[Line], None]]:
        """Yield what appends a line; nobody else writes meanwhile, and all there is was read.

        On return of the append the line outlives a loss of power.

        Raises:
            BadFile: a line that came since is damaged.
            OSError: it cannot be written; the file is as it was before.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._mutex:
            handle = os.open(self.path, _FLAGS, 0o666)
            try:
                wait_for(handle)
                self.refresh()
                self._mend(handle)
                yield lambda line: self._append(handle, line)
            finally:
                os.close(handle)

    def _append(self, handle: int, line: Line) -> None:
        raw = json.dumps(asdict(line), ensure_ascii=False).encode() + b"\n"
        rest = memoryview(raw)
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._end)
            raise
        self.lines.append(line)
        self._end += len(raw)

    def _mend(self, handle: int) -> None:
        """Cut off what a killed process was about to write; keep what an editor left unended."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            tail = file.read()
        if not tail:
            return
        try:
            line = self._read(tail)
        except BadFile:
            os.ftruncate(handle, self._end)
            return
        os.write(handle, b"\n")
        self.lines.append(line)
        self._end += len(tail) + 1

    def _read(self, raw: bytes) -> Line:
        try:
            row: dict[str, Any] = json.loads(raw)
            line = Line(**row)
            texts = (line.query_id, line.document_id, line.by, line.at, line.note)
            most = SCALES[line.scale]
            marked = type(line.grade) is int and 0 <= line.grade <= most
            if (
                not all(isinstance(text, str) for text in texts)
                or line.did not in get_args(Did)
                or marked is not (line.did == "mark")
                or not isinstance(line.seconds, float | int)
            ):
                raise ValueError("a value is not allowed")
        except (ValueError, TypeError, KeyError) as error:
            raise BadFile(
                f"{self.path}:{len(self.lines) + 1}: expected a line of a journal of marks, found "
                f"{raw[:80]!r} ({said(error)}). Mend the line or remove it; is it another file?"
            ) from error
        return line

    def standing(self) -> dict[tuple[Pair, str, bool], Mark]:
        """Return the marks that nobody took back, by pair, labeller, and whether they settle."""
        found: dict[tuple[Pair, str, bool], Mark] = {}
        for number, line in enumerate(self.lines, start=1):
            key = line.pair, line.by, line.settles
            found.pop(key, None)
            if line.did == "mark":
                found[key] = Mark(line, number, f"{self.path.name}:{number}")
        return found


def disagreements(journals: Sequence[Journal]) -> dict[Pair, list[Mark]]:
    """Return the pairs that labellers gave different grades, settled or not, with their marks."""
    marks: dict[Pair, list[Mark]] = {}
    for journal in journals:
        for (pair, _, settles), mark in journal.standing().items():
            if not settles:
                marks.setdefault(pair, []).append(mark)
    return {p: own for p, own in marks.items() if len({mark.line.grade for mark in own}) > 1}


def settled(journals: Sequence[Journal]) -> dict[Pair, Mark]:
    """Return what was decided where labellers disagreed; the latest word counts."""
    found: dict[Pair, Mark] = {}
    for journal in journals:
        for (pair, _, settles), mark in journal.standing().items():
            if settles and (pair not in found or found[pair].line.at <= mark.line.at):
                found[pair] = mark
    return found


def wait_for(handle: int) -> None:
    """Wait until no other process writes to an open file; a line takes a moment."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; there it is up to the user
        return
    fcntl.flock(handle, fcntl.LOCK_EX)  # falls with the handle
