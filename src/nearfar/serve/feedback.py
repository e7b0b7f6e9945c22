"""What people made of what was found: kept on disk, so that later training can learn from it.

    feedback.jsonl   a row for each thing that was said of an answer; on disk before it is answered
    searches.jsonl   a row for each search, with the ids and scores that it showed; if asked for
    clicks.jsonl     a row for each document that was shown and for each click, as `nearfar import
                     --as clicks` reads them; where texts may be kept too: a click is learned from
                     only with its query

Rows of searches are not waited for: a loss of power may take the latest. A click is put on disk
together with all that was shown before it.
"""

import datetime as dt
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any, Literal, get_args

from nearfar.errors import BadFile, StoreFull, said
from nearfar.files import lock

Kind = Literal["click", "helpful", "wrong", "escalated"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_LOG = getLogger(__name__)
_REMEMBERED = 500_000  # shown documents, some 50 MB: a click on one of them is known to be theirs
_TAIL_BYTES = 64 << 20  # of the searches before, read again when a server begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One search, and what it showed."""

    search: str
    index: str
    version: str
    space: str
    query: str
    user: str
    hits: Sequence[tuple[str, float]]  # ids and scores, best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody made of an answer."""

    search: str
    kind: Kind
    document: str = ""  # "": of the answer as a whole
    dwell_seconds: float | None = None  # how long it was looked at


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a search: enough to write a click down."""

    search: str
    index: str
    user: str
    query: str | None  # None: it was not kept
    ids: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "_Known":
        """Return it from a row of searches.jsonl."""
        ids = tuple(str(one["id"]) for one in row["shown"])
        return cls(row["search"], row["index"], row.get("user", ""), row.get("query"), ids)

    @property
    def importable(self) -> bool:
        """Whether the importer of clicks would take its rows: NUL is no text there."""
        return self.query is not None and not any("\0" in one for one in (self.query, *self.ids))


@dataclass(slots=True)
class FeedbackLog:
    """Three files that only grow, of one server.

    Args:
        folder: where they stand.
        searches: whether searches are kept: ids and scores.
        texts: whether queries are kept with them.
        now: tells the time.

    Raises:
        BadFile: another server writes there, or it cannot be written to.
    """

    folder: Path
    searches: bool = False
    texts: bool = False
    now: Callable[[], dt.datetime] = field(default=lambda: dt.datetime.now(dt.UTC))
    _files: dict[str, "_Lines"] = field(init=False, default_factory=dict)
    _known: "OrderedDict[str, _Known]" = field(init=False, default_factory=OrderedDict)
    _ids: int = field(init=False, default=0)  # of all that is known
    _writing: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        names = ["feedback", *(["searches"] if self.searches else [])]
        names += ["clicks"] if self.searches and self.texts else []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                self._files[name] = _Lines(self.folder / f"{name}.jsonl")
            for one in self._files["searches"].tail() if self.searches else ():
                self._remember(one)
        except OSError as error:
            self.close()
            raise BadFile(
                f"{self.folder}: expected a folder where feedback can be written ({said(error)}). "
                "Name another one."
            ) from error
        except BadFile:
            self.close()
            raise

    def searched(self, shown: Shown) -> None:
        """Keep a search, if searches are kept; where the disk is full a warning is logged."""
        if not self.searches:
            return
        row: dict[str, Any] = {
            "search": shown.search, "at": self._at(), "index": shown.index,
            "version": shown.version, "space": shown.space,
            "shown": [{"id": id, "score": score} for id, score in shown.hits],
        }  # fmt: skip
        if self.texts:
            row |= {"query": shown.query, "user": shown.user}
        known = _Known.of(row)
        with self._writing:
            try:
                self._files["searches"].add([row])
                self._remember(known)
                if known.importable:
                    self._files["clicks"].add(
                        _event(known, place, row["at"]) for place in range(len(known.ids))
                    )
            except StoreFull as error:  # who searches is answered all the same
                _LOG.warning("a search was not kept: %s", error)

    def say(self, feedback: Said) -> bool:
        """Keep what was said; on return it outlives a loss of power.

        Returns:
            Whether the search is one that was kept.

        Raises:
            LookupError: the search was kept, and did not show that document.
            StoreFull: there is no room; sent again it counts once.
        """
        row: dict[str, Any] = {"search": feedback.search, "at": self._at(), "kind": feedback.kind}
        if feedback.document:
            row["document"] = feedback.document
        if feedback.dwell_seconds is not None:
            row["dwell_seconds"] = feedback.dwell_seconds
        with self._writing:
            search = self._known.get(feedback.search)
            place = None
            if search is not None and feedback.document:
                if feedback.document not in search.ids:
                    raise LookupError(feedback.document)
                place = search.ids.index(feedback.document)
                row["position"] = place + 1
            if search is not None and place is not None and self._learns(search, feedback):
                event = _event(search, place, row["at"])
                event |= {"clicked": "click", "dwell_seconds": feedback.dwell_seconds}
                self._files["clicks"].add([event], durable=True)  # twice is once to the importer
            self._files["feedback"].add([row], durable=True)
            return search is not None

    def close(self) -> None:
        """Let go of the files."""
        for one in self._files.values():
            one.close()

    def _learns(self, search: _Known, feedback: Said) -> bool:
        return feedback.kind == "click" and search.importable and "clicks" in self._files

    def _remember(self, one: _Known) -> None:
        self._known[one.search] = one
        self._ids += len(one.ids) + 1
        while self._ids > _REMEMBERED:
            _, oldest = self._known.popitem(last=False)
            self._ids -= len(oldest.ids) + 1

    def _at(self) -> str:
        return self.now().isoformat(timespec="milliseconds")


def _event(search: _Known, place: int, at: str) -> dict[str, Any]:
    # Every row has every column: who reads them looks at the first rows for what there is.
    return {
        "session": search.search, "user": search.user, "time": at, "index": search.index,
        "query": search.query, "document": search.ids[place], "position": place + 1,
        "clicked": "shown", "dwell_seconds": None,
    }  # fmt: skip


class _Lines:
    """A file of JSON lines that only grows; what a killed process left half is cut off."""

    def __init__(self, path: Path) -> None:
        """Open it for this process alone.

        Raises:
            BadFile: another process writes to it.
        """
        self._path = path
        new = not path.exists()
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            lock(self._handle, f"{path}: another server writes to it. Give each its own folder.")
            self._end = self._cut()
            if new:
                _flush_folder(path.parent)
        except BaseException:
            os.close(self._handle)
            raise

    def add(self, rows: Iterable[Mapping[str, Any]], *, durable: bool = False) -> None:
        """Put rows at the end, all or none.

        Raises:
            StoreFull: they cannot be written.
        """
        # ASCII: no line end but ours, and half of a surrogate pair is written as it came.
        block = "".join(json.dumps(row) + "\n" for row in rows).encode()
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            if durable:
                os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self._end)
            raise StoreFull(
                f"{self._path}: cannot be written to ({said(error)}). Nothing of it was kept; "
                "make room and send it again."
            ) from error
        self._end += len(block)

    def tail(self) -> Iterator[_Known]:
        """Yield the latest searches, the oldest first."""
        with self._path.open("rb") as file:
            start = max(self._end - _TAIL_BYTES, 0)
            file.seek(start)
            if start:
                file.readline()  # the end of a row
            for line in file:
                yield self._known(line)

    def _known(self, line: bytes) -> _Known:
        try:
            return _Known.of(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadFile(
                f"{self._path}: expected rows that a server wrote ({said(error)}). Move the file "
                "away, or give the server another folder."
            ) from error

    def close(self) -> None:
        """Let go of it; another process may write then."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _cut(self) -> int:
        """Cut off a last line that has no end; return where the file ends."""
        end = os.fstat(self._handle).st_size
        with self._path.open("rb") as file:
            place = end
            while place:
                start = max(place - 65_536, 0)
                file.seek(start)
                found = file.read(place - start).rfind(b"\n")
                if found >= 0:
                    place = start + found + 1
                    break
                place = start
        if place < end:
            os.ftruncate(self._handle, place)
        return place


def _flush_folder(folder: Path) -> None:
    """See to it that a new file's name outlives a loss of power too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
