"""Where a registry stands: a folder, or a store behind an fsspec URL such as s3://bucket/models.

Nobody ever sees half of a tree. In a folder it is filled under another name and then renamed.
A store has no rename: there the file that marks a tree is written last, and whoever reads a tree
asks for that file first.
"""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile, BadSetting, said

_BLOCK_BYTES = 1 << 20
_STAGED = ".staged-"  # what a folder begins with that is not yet whole
_LOCK = ".lock"  # of those who fill such folders


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or a store; every path is relative to it, with slashes."""

    url: str  # as people wrote it
    store: Any  # an fsspec file system
    root: str

    @property
    def folder(self) -> Path | None:
        """The folder, where there is one on this machine."""
        from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

        return Path(self.root) if isinstance(self.store, LocalFileSystem) else None

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a small file; None if it is not there."""
        try:
            with self._said(path):
                return bytes(self.store.cat_file(self._full(path)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file, piece by piece."""
        with self._said(path), self.store.open(self._full(path), "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    def names(self, path: str) -> list[str]:
        """Return what stands directly within, in order; nothing of what is not there."""
        try:
            with self._said(path):
                self.store.invalidate_cache()  # others write too
                found = self.store.ls(self._full(path), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = {str(one).rstrip("/").rsplit("/", 1)[-1] for one in found}
        return sorted(name for name in names if not name.startswith("."))

    def files(self, path: str) -> set[str]:
        """Return every file within, at any depth, relative to `path`."""
        start = self._full(path).strip("/") + "/"
        with self._said(path):
            self.store.invalidate_cache()
            return {str(one).lstrip("/").removeprefix(start) for one in
                    self.store.find(self._full(path))}  # fmt: skip

    def create(self, path: str, content: bytes) -> bool:
        """Write a file unless there is one: of several who try at once, one succeeds.

        That is as sure as the store: a folder, memory and the stores whose fsspec file systems
        know conditional writes (S3, Google Cloud, Azure) keep it. Others look first and write
        then, so that two may both believe they were first, within milliseconds of each other.

        Returns:
            Whether it was written.
        """
        folder = self.folder
        try:
            if folder is not None:
                _create(folder / path, content)
            else:
                with self._said(path):
                    self.store.pipe_file(self._full(path), content, mode="create")
        except FileExistsError:
            return False
        return True

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield an empty folder to fill and then hand to `take`; what is left of it goes.

        In a folder, so does what others left who were killed while they filled theirs.
        """
        home = self.folder
        if home is None:
            with tempfile.TemporaryDirectory(prefix="nearfar-") as name:
                yield Path(name)
            return
        home.mkdir(parents=True, exist_ok=True)
        with _staging(home):
            part = home / f"{_STAGED}{uuid.uuid4().hex}"  # beside: so it can be renamed
            part.mkdir()
            try:
                yield part
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def take(self, part: Path, path: str, *, last: str) -> None:
        """Let a staged folder be seen under its name, whole; what stands there already stays.

        Args:
            part: the folder that was filled.
            path: its name here.
            last: the file that marks it as whole.
        """
        files = sorted(file for file in part.rglob("*") if file.is_file())
        home = self.folder
        if home is None:
            mark = part / last
            for file in [*(one for one in files if one != mark), mark]:
                name = f"{path}/{file.relative_to(part).as_posix()}"
                with self._said(name):
                    self.store.put_file(str(file), self._full(name))
            return
        for file in files:
            with file.open("rb") as opened:
                os.fsync(opened.fileno())  # the bytes outlive a loss of power
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            part.rename(home / path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _full(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"

    @contextmanager
    def _said(self, path: str) -> Iterator[None]:
        """Turn what a store's own library raises into one message."""
        try:
            yield
        except (FileNotFoundError, FileExistsError, NotADirectoryError):
            raise
        except Exception as error:  # each store has its own kinds
            if self.folder is not None:
                raise
            raise BadFile(
                f"{self.url.rstrip('/')}/{path}: expected to reach the registry there, and the "
                f"store refused ({said(error)}). Check the address, your keys and your rights."
            ) from error


def open_place(url: str) -> Place:
    """Return the place of a registry; nothing need be there yet.

    Args:
        url: a folder, or an fsspec URL.

    Raises:
        BadSetting: fsspec knows no such kind of store, or a library for it is missing.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    try:
        store, root = url_to_fs(url)
    except ImportError as error:
        raise BadSetting(
            f"{url}: expected a folder or a URL that fsspec can open ({said(error)}). Install "
            "what it names (for s3:// `pip install s3fs`, for gs:// `pip install gcsfs`)."
        ) from error
    except Exception as error:  # of the store's own library: keys, names of buckets
        raise BadSetting(
            f"{url}: expected a folder or a URL that fsspec can open ({said(error)}). Write it "
            "as ./registry or s3://bucket/registry."
        ) from error
    return Place(url, store, str(root))


@contextmanager
def _staging(home: Path) -> Iterator[None]:
    """Be one of those who fill a folder; the first of them removes what the dead left behind.

    All of them share a lock that falls with its process, even if killed. Whoever gets it alone
    knows that no one fills a folder now.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; there what is left stays, unseen
        yield
        return
    with (home / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in home.glob(f"{_STAGED}*"):
                shutil.rmtree(left, ignore_errors=True)
            fcntl.flock(file, fcntl.LOCK_SH)
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_SH)
        except OSError:  # a disk without locks: nobody can tell the dead from the living
            pass
        yield


def _create(path: Path, content: bytes) -> None:
    """Write a file that is whole from the moment it can be seen, unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{_STAGED}{uuid.uuid4().hex}")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # unlike a rename, it never takes another's place
        except FileExistsError:
            raise
        except OSError:  # a disk without hard links: whole only a moment after it is seen
            with path.open("xb") as file:
                file.write(content)
    finally:
        part.unlink(missing_ok=True)
