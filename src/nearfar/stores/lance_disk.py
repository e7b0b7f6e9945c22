"""What LanceDB leaves to others: files that outlive a loss of power, and writers who take turns.

Lance writes its files and never flushes them (0 fsync in 2,267 commits). Here the files of a write
are flushed before the manifest that names them is made, and the manifest before the write returns.
"""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile, BadSetting, StoreFull, said
from nearfar.files import whole_file

TABLE = "documents.lance"  # a table of a Lance database: its name and this ending
WRITERS, UPKEEP = "write.lock", "optimise.lock"
_WRITTEN = ("data", "_deletions", "_transactions", "_versions")  # by a write
_UNDER_WAY = "optimising.json"  # says which version held when upkeep began
_WAIT_SECONDS = 900.0  # for another writer: upkeep of some million documents takes minutes
_MAGIC = b"LANC"  # the last bytes of every manifest
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_FULL_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

State = set[tuple[str, int, int]]  # path, time of change, inode


def lance_library() -> Any:
    """Return the library, or raise BadSetting that says how to install it."""
    try:
        import lance
    except ImportError as error:
        raise BadSetting(
            "An index on disk that takes writes needs LanceDB, and it is not installed. "
            "Install it with: pip install 'nearfar[lance]'"
        ) from error
    return lance


def write_json(path: Path, value: object) -> None:
    """Put a file in place of another, at once and for good."""
    try:
        with whole_file(path) as part:
            part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        flush_folder(path.parent)
    except OSError as error:
        raise worded(error, path) from error


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Return what a file says of these keys and others, or raise BadFile."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not found.keys() >= set(keys):
            raise ValueError(f"expected an object with {', '.join(keys) or 'any keys'}")
    except (OSError, ValueError) as error:
        raise BadFile(
            f"{path} cannot be read: {said(error)}. Put the file back from a copy, or build this "
            "version of the index again."
        ) from error
    return found


def state(table: Path, *, indices: bool = False) -> State:
    """Return which files a table has, so that later the new ones are known."""
    return {one for part in (*_WRITTEN, *(["_indices"] * indices)) for one in _walk(table / part)}


def flush_new(table: Path, before: State, *, indices: bool = False) -> None:
    """Make sure that what was written since, and its names, outlive a loss of power."""
    folders = set()
    for name, _, _ in state(table, indices=indices) - before:
        with suppress(FileNotFoundError):  # a hint that was replaced by a later one
            _flush(Path(name))
            folders.update([Path(name).parent, Path(name).parent.parent])
    for folder in sorted(folders):
        flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Make sure that the names in a folder outlive a loss of power."""
    if os.name == "posix":  # elsewhere a folder cannot be opened, nor need it
        _flush(folder)


def go_back(table: Path, held: int, before: State, *, indices: bool = False) -> None:
    """Undo what a write that failed has done: the version that held before holds again."""
    new = {Path(name) for name, _, _ in state(table, indices=indices) - before}
    manifests = {path for path in new if path.suffix == ".manifest"}
    for path in new - manifests:
        with suppress(OSError):
            path.unlink()
    if not manifests:
        return
    try:  # under a number of its own: a reader would not see that a number means something else
        _restore(table, held)
    except (OSError, ValueError, RuntimeError):
        for path in manifests:
            with suppress(OSError):
                path.unlink()


def discard_indices(table: Path, before: State) -> None:
    """Remove the parts of indices that were begun since; who looks after indices does so alone."""
    for name, _, _ in state(table, indices=True) - before:
        if Path(name).is_relative_to(table / "_indices"):
            Path(name).unlink(missing_ok=True)


def worded(error: BaseException, path: Path) -> Exception:
    """Return StoreFull if that is what an error says, and else BadFile."""
    number = getattr(error, "errno", None)
    if number in _FULL_NUMBERS or any(sign in str(error) for sign in _FULL):
        return StoreFull(
            f"There is no room to write {path}: {said(_as_error(error))}. Nothing of this write "
            "was kept, and nothing else was lost. Make room on the disk, and write it again."
        )
    return BadFile(f"{path} cannot be read or written: {said(_as_error(error))}.")


@contextmanager
def writing(folder: Path, name: str = WRITERS) -> Iterator[None]:
    """Keep all other writers of a version waiting, in this process and in others.

    Who waits holds the turn, which everyone needs before the lock: who writes again and again
    cannot take the lock back before the one that waits has had it.

    Raises:
        BadFile: another one has not ended in 15 minutes.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    turn = _locked(folder / f"next-{name}", deadline)
    try:
        handle = _locked(folder / name, deadline)
    finally:
        os.close(turn)
    try:
        yield
    finally:
        os.close(handle)  # which lets go of the lock


def _locked(path: Path, deadline: float) -> int:
    """Return an open file that this caller alone has locked."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise worded(error, path) from error
    while not try_lock(handle):
        if time.monotonic() > deadline:
            os.close(handle)
            raise BadFile(
                f"Another process has been writing to {path.parent} for "
                f"{_WAIT_SECONDS / 60:.0f} minutes. Look for one that hangs, end it, and try again."
            )
        time.sleep(0.005)
    return handle


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """Return whether the lock on an open file was free; it falls with the file's last holder."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; there one process at a time may write
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[None]:
    """Do work that makes versions of its own: if it does not end, it is as if never begun.

    Lance commits such work before its files are flushed. So the version that held before is
    written down first, and `mend` goes back to it if the end was never reached.
    """
    table = folder / TABLE
    before = state(table, indices=True)
    held = lance_library().dataset(str(table)).version
    write_json(folder / _UNDER_WAY, {"version": held})
    try:
        yield
        flush_new(table, before, indices=True)
    except BaseException as error:
        go_back(table, held, before, indices=True)
        _end(folder)
        if isinstance(error, Exception):
            raise worded(error, table) from error
        raise
    _end(folder)


def mend(folder: Path) -> None:
    """Bring a version back to its last good state; its writers wait meanwhile.

    Only a write that never returned can have left a torn manifest, and only upkeep that never
    ended its mark: what they had done was promised to nobody.

    Raises:
        BadFile: no manifest is whole.
    """
    table = folder / TABLE
    while torn := torn_manifest(table):
        torn.unlink()
    if (folder / _UNDER_WAY).exists():
        held = read_json(folder / _UNDER_WAY, "version")["version"]
        if lance_library().dataset(str(table)).version != held:
            _restore(table, held)
        _end(folder)


def needs_mending(folder: Path) -> bool:
    """Return whether a writer was stopped in its work, or is at it right now."""
    return (folder / _UNDER_WAY).exists() or torn_manifest(folder / TABLE) is not None


def torn_manifest(table: Path) -> Path | None:
    """Return the newest manifest, if a loss of power has cut it; the library would follow it."""
    # Manifests are called by what is left up to 2^64: the newest has the smallest name.
    newest = min(table.glob("_versions/*.manifest"), default=None)
    if newest is None:
        raise BadFile(
            f"{table} holds no version of its documents: files were taken out of it. Put them back "
            "from a copy, or build this version of the index again."
        )
    with newest.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(_MAGIC)))
        return None if file.read() == _MAGIC else newest


def change(folder: Path, dataset: Any, make: Callable[[], Any]) -> Any:
    """Commit what `make` returns, flushed; return the new version, or the old if it is None.

    Args:
        folder: of the version; the caller keeps other writers away.
        dataset: its table as it stands now.
        make: writes files, and returns the operation that puts them into the table.

    Raises:
        StoreFull: there is no room.
        BadFile: a file cannot be read or written. Nothing has changed then.
    """
    table = folder / TABLE
    before = state(table)
    try:
        operation = make()
        if operation is None:
            return dataset
        flush_new(table, before)
        data = state(table)
        made = dataset.commit(dataset, operation, read_version=dataset.version)
        flush_new(table, data)
    except BaseException as error:
        go_back(table, dataset.version, before)
        if isinstance(error, OSError | ValueError | RuntimeError):
            raise worded(error, table) from error
        raise
    return made


def _restore(table: Path, held: int) -> None:
    before = state(table)
    lance_library().dataset(str(table), version=held).restore()
    flush_new(table, before)


def _end(folder: Path) -> None:
    (folder / _UNDER_WAY).unlink(missing_ok=True)
    flush_folder(folder)


def _walk(folder: Path) -> Iterator[tuple[str, int, int]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(Path(entry.path))
            else:
                with suppress(FileNotFoundError):
                    found = entry.stat()
                    yield entry.path, found.st_mtime_ns, found.st_ino


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_error(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))
