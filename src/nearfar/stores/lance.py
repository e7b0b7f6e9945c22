"""An index on disk that takes writes: versions side by side, each in a folder, on LanceDB.

shelf/live.json                     which version searches go to
shelf/<version>/layout.json         what was settled when it was made
shelf/<version>/facts.json          what was last told of it
shelf/<version>/documents.lance/    a table of a Lance database: a row is a piece of a document
shelf/<version>/kept                there until the version is dropped
shelf/<version>/*.lock              who writes, who looks after it, who reads

Writers of a version take turns; readers never wait.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from nearfar.errors import BadFile, BadSetting
from nearfar.files import whole_folder
from nearfar.stores import lance_rows, lance_upkeep
from nearfar.stores.admitting import require_name
from nearfar.stores.contract import Layout
from nearfar.stores.lance_disk import (
    TABLE,
    UPKEEP,
    WRITERS,
    flush_folder,
    lance_library,
    read_json,
    try_lock,
    worded,
    write_json,
    writing,
)
from nearfar.stores.lance_store import FACTS, LanceStore

_LAYOUT = "layout.json"
_LIVE = "live.json"
_KEPT = "kept"  # without it a version is there only for its readers; to remove it takes no room
_READERS = "readers.lock"
_WHO_CHANGES = "shelf.lock"


class LanceShelf:
    """Where the versions of one index stand, in a folder; processes may share it."""

    def __init__(self, folder: Path, sizes: lance_upkeep.Sizes | None = None) -> None:
        """Take a folder; it is made with the first version.

        Args:
            folder: of this index alone.
            sizes: from how many vectors on they are searched through an index, and which.

        Raises:
            BadSetting: the library is not installed.
            BadFile: the folder is a file.
        """
        lance_library()
        if folder.exists() and not folder.is_dir():
            raise BadFile(f"{folder} is a file; expected a folder. Name another place.")
        self._folder = folder.absolute()
        self._sizes = sizes or lance_upkeep.Sizes()

    def versions(self) -> list[str]:
        """Return the names of all versions, the oldest first."""
        made = []
        for path in self._folder.glob(f"[!.]*/{_LAYOUT}"):
            try:
                made.append((read_json(path, "number")["number"], path.parent.name))
            except BadFile:
                if (path.parent / _KEPT).exists():  # and was not dropped just now
                    raise
        return [name for _, name in sorted(made) if (self._folder / name / _KEPT).exists()]

    def live(self) -> str | None:
        """Return the version that searches go to; None: none was chosen yet."""
        path = self._folder / _LIVE
        return str(read_json(path, "version")["version"]) if path.exists() else None

    def switch(self, version: str, expected: str | None) -> None:
        """Make a version live, at once and for all, if `expected` is live now."""
        self._require(version)
        with writing(self._folder, _WHO_CHANGES):
            self._require(version)
            if (live := self.live()) != expected:
                raise BadSetting(
                    f"Expected {expected!r} to be live, found {live!r}: someone else has switched. "
                    "Look at what is live now, and decide again."
                )
            write_json(self._folder / _LIVE, {"version": version})

    def create(self, version: str, layout: Layout) -> LanceStore:
        """Make an empty version; it is not live."""
        require_name(version)
        path = self._folder / version
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise worded(error, self._folder) from error
        with writing(self._folder, _WHO_CHANGES):
            _sweep(path)
            _clear(self._folder)
            if path.exists():
                raise BadSetting(
                    f"There is a version {version!r} in {self._folder} already, or one that was "
                    "dropped and is still read. Choose another name."
                )
            layouts = self._folder.glob(f"[!.]*/{_LAYOUT}")
            number = 1 + max((read_json(one, "number")["number"] for one in layouts), default=0)
            try:
                with whole_folder(path) as part:
                    _fill(part, layout, number)
                flush_folder(self._folder)
            except (OSError, ValueError, RuntimeError) as error:
                raise worded(error, path) from error
        return self.open(version)

    def open(self, version: str) -> LanceStore:
        """Open a version."""
        if version not in self.versions():
            raise BadFile(self._none_such(version))
        path = self._folder / version
        try:
            handle = os.open(path / _READERS, os.O_RDONLY)
        except OSError as error:
            raise worded(error, path) from error

        def let_go() -> None:
            os.close(handle)
            _sweep(path)

        try:
            # Only who removes a version that is no longer kept locks it alone.
            if not try_lock(handle, shared=True) or not (path / _KEPT).exists():
                raise BadFile(self._none_such(version))
            said = read_json(path / _LAYOUT, "dim", "fields", "words")
            layout = Layout(dim=said["dim"], fields=said["fields"], words=said["words"])
            return LanceStore(path, layout, self._sizes, let_go)
        except BaseException:
            os.close(handle)
            raise

    def drop(self, version: str) -> None:
        """Remove a version that is not live; who has it open may still read until it closes."""
        self._require(version)
        with writing(self._folder, _WHO_CHANGES):
            self._require(version)
            if self.live() == version:
                raise BadSetting(
                    f"The version {version!r} is live: searches go to it. Switch to another one "
                    "first, then drop it."
                )
            path = self._folder / version
            try:
                (path / _KEPT).unlink()
                flush_folder(path)
            except OSError as error:
                raise worded(error, path) from error
            _sweep(path)

    def _require(self, version: str) -> None:
        if version not in self.versions():
            raise BadSetting(self._none_such(version))

    def _none_such(self, version: str) -> str:
        there = ", ".join(self.versions()) or "none"
        return f"There is no version {version!r} in {self._folder}. There are: {there}."


def _fill(part: Path, layout: Layout, number: int) -> None:
    """Write an empty version; its caller flushes the files, and gives it its name."""
    write_json(part / _LAYOUT, {"number": number, **asdict(layout), "fields": dict(layout.fields)})
    write_json(part / FACTS, {})
    for name in (_KEPT, _READERS, WRITERS, UPKEEP):  # made now: a full disk is no place for them
        (part / name).touch()
    lance = lance_library()
    empty = lance_rows.schema(layout).empty_table()
    dataset = lance.write_dataset(empty, str(part / TABLE), enable_v2_manifest_paths=True)
    lance_upkeep.make_indices(dataset, words=layout.words)
    for folder in [part, *(one for one in part.rglob("*") if one.is_dir())]:
        flush_folder(folder)


def _sweep(path: Path) -> None:
    """Remove a version that was dropped, if nobody reads it any more."""
    if not path.exists() or (path / _KEPT).exists():
        return
    with suppress(OSError):  # another process is at the same, or will be
        handle = os.open(path / _READERS, os.O_RDONLY)
        try:
            if try_lock(handle):
                gone = path.with_name(f".{path.name}.{uuid4().hex}.part")
                path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
        finally:
            os.close(handle)


def _clear(folder: Path) -> None:
    """Remove what processes left that were killed; the shelf's lock is held."""
    for part in folder.glob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
