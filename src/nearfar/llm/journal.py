"""Answers that were paid for, on disk before anything else is done with them.

A file of JSON lines that only grows. Each line is an answer by its key; a later line of the same
key replaces the earlier one, yet both were paid. What a killed process was about to write is cut
off, and the answer asked for again. A request that got lost on the way has a line too: it may be
billed, and counts against the limit of later runs.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nearfar.errors import BadFile
from nearfar.files import lock
from nearfar.llm.messages import Stop
from nearfar.llm.settings import LlmSettings

_BEGINNING = b'{"key": "'  # of each line that `Journal.add` writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One answer and what it cost; or a request that got lost, and the most it can have cost."""

    key: str  # 16 hex digits: model, prompt, passage, style, seed and which try it was
    text: str
    stop: Stop | Literal["lost"]
    input_tokens: int
    output_tokens: int
    counted: bool  # by the server; otherwise the tokens are the most it can have been
    cost_usd: float | None  # at the prices of that day; None if they were unknown
    max_tokens: int
    model: str  # as the server calls it
    at: str  # ISO 8601


@dataclass(slots=True)
class Bill:
    """What answers cost."""

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0  # without the tokens whose price was unknown when they were paid
    unpriced_input_tokens: int = 0
    unpriced_output_tokens: int = 0
    uncounted: int = 0  # answers without usage, taken at the most they can have been

    def add(self, paid: Paid) -> None:
        """Put one more answer on the bill."""
        self.answers += 1
        self.input_tokens += paid.input_tokens
        self.output_tokens += paid.output_tokens
        if paid.cost_usd is None:
            self.unpriced_input_tokens += paid.input_tokens
            self.unpriced_output_tokens += paid.output_tokens
        else:
            self.cost_usd += paid.cost_usd
        self.uncounted += not paid.counted

    def total_usd(self, llm: LlmSettings) -> float | None:
        """Return the whole cost, unpriced tokens at today's prices; None if there are none."""
        if self.unpriced_input_tokens + self.unpriced_output_tokens == 0:
            return self.cost_usd if self.answers or llm.priced else None
        rest = llm.cost_usd(self.unpriced_input_tokens, self.unpriced_output_tokens)
        return None if rest is None else self.cost_usd + rest


class Journal:
    """The answers of one file; in memory are their keys and where they stand."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._places: dict[bytes, int] = {}  # 8 bytes of key: offset of its line
        self._end = 0
        self._lock = threading.Lock()
        self.before = Bill()  # answers to earlier runs
        self.now = Bill()  # answers to this one
        self.lost_before = Bill()  # requests that may be billed though no answer came
        self.lost_now = Bill()

    @property
    def empty(self) -> bool:
        """Whether nothing has ever been paid."""
        return self._end == 0

    def get(self, key: str) -> Paid | None:
        """Return the answer with this key, if it was paid for."""
        with self._lock:
            place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        with self._path.open("rb") as file:
            file.seek(place)
            return self._read(file.readline(), f"byte {place}")

    def add(self, paid: Paid) -> None:
        """Keep an answer, or what a lost request may cost; on return it outlives a loss of power.

        Raises:
            OSError: it cannot be written, as on a full disk; the file is as it was before.
        """
        line = json.dumps(asdict(paid)).encode() + b"\n"
        with self._lock:
            self._write(line)
            self._take(paid, len(line), self.now, self.lost_now)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self._end)  # or other threads would append to half a line
            raise

    def _take(self, paid: Paid, size: int, answers: Bill, lost: Bill) -> None:
        """Learn of a line that ends the file."""
        if paid.stop == "lost":
            lost.add(paid)
        else:
            self._places[bytes.fromhex(paid.key)] = self._end
            answers.add(paid)
        self._end += size

    def _load(self) -> None:
        """Learn what is there; cut off a last line that was never finished.

        Raises:
            BadFile: a line is damaged, or this is no journal at all.
        """
        line = b"\n"
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if _cut_short(line):
                    os.ftruncate(self._handle, self._end)
                    return
                paid = self._read(line, str(number))
                self._take(paid, len(line), self.before, self.lost_before)
        if not line.endswith(b"\n"):  # saved so by an editor: whole, and it was paid for
            self._write(b"\n")
            self._end += 1

    def _read(self, line: bytes, where: str) -> Paid:
        try:
            row: dict[str, Any] = json.loads(line)
            paid = Paid(**row)
            bytes.fromhex(paid.key)
        except (ValueError, TypeError) as error:
            raise BadFile(
                f"{self._path}:{where}: expected an answer that was paid for, found something else "
                f"({error}). If this is a journal, remove the line: that answer will be asked for "
                "again. If not, name another file with --journal."
            ) from error
        return paid


def _cut_short(line: bytes) -> bool:
    """Return whether a kill left this: a line that began as ours do, and never became JSON."""
    if line.endswith(b"\n") or line[: len(_BEGINNING)] != _BEGINNING[: len(line)]:
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Yield the journal of a file, which is made if it is not there.

    Raises:
        BadFile: a line is damaged, this is no journal, or another process is writing there: both
            would pay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, made = _open(path)
    try:
        lock(
            handle,
            f"{path}: another process is writing to this journal, and both would pay for the same "
            "answers. Wait for it, or name another --journal.",
        )
        journal = Journal(path, handle)
        journal._load()
        try:
            yield journal
        finally:
            if made and journal.empty:
                path.unlink()  # nothing was paid: no trace of a mistyped command
    finally:
        os.close(handle)


def _open(path: Path) -> tuple[int, bool]:
    """Return a handle to the file, and whether this call made it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    try:
        return os.open(path, flags | os.O_EXCL, 0o666), True
    except FileExistsError:
        return os.open(path, flags, 0o666), False
