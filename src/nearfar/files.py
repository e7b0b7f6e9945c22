"""Files and folders that are whole or not there at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearfar.errors import BadFile


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it takes its name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        _flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder to fill; it takes its name only when the block ends well.

    Raises:
        BadFile: `path` exists already, and `replace` is False.
    """
    if path.exists() and not replace:
        raise BadFile(f"{path} exists already. Name another folder, or remove this one first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield part
        part.chmod(0o777 & ~_umask())
        for file in part.rglob("*"):
            if file.is_file():
                _flush(file)
        _take_name(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def lock(handle: int, taken: str) -> None:
    """Keep every other process from writing to an open file, until this one ends.

    Args:
        handle: of the file.
        taken: what is said if another process has it.

    Raises:
        BadFile: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; there it is up to the user
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # falls with the process, even if killed
    except OSError as error:
        raise BadFile(taken) from error


def _take_name(part: Path, path: Path) -> None:
    if not path.exists():
        part.rename(path)
        return
    # A folder cannot be renamed onto a full one: the old one steps aside for an instant.
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    path.rename(old / path.name)
    part.rename(path)
    shutil.rmtree(old)


def _flush(path: Path) -> None:
    """Make sure the bytes outlive a loss of power."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
