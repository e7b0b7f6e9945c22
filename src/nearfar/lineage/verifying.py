"""Proof of a forgetting: every file of a workspace is opened and read for what should be gone.

A text or an id that stands whole, as a cell of Parquet or a value of JSON, is found by equality,
however short. Texts within longer ones, and in files of any other kind, are found by their bytes.
"""

import bz2
import gzip
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.lineage.matching import leaves
from nearfar.lineage.needles import Needles
from nearfar.lineage.tombstones import NAME
from nearfar.lineage.workspace import DEEPEST, Workspace, folders
from nearfar.progress import Progress, silent

_BLOCK = 4 << 20
_SHORT_ID = 6  # letters; shorter ids are looked for only where ids stand
_WITHIN = 16  # bytes; shorter texts stand within others by chance
# A tokenizer's words were there before any text was learned from.
_TOKENIZERS = {"tokenizer.json", "vocab.txt", "vocab.json", "added_tokens.json"}
_CLOSED = {".zst", ".lz4", ".7z", ".rar", ".br"}  # compressed in ways Python does not open
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    zlib.error,
    pa.ArrowException,
    zipfile.BadZipFile,
    lzma.LZMAError,
)
_FIELD = re.compile(r"[A-Za-z_]+")  # a key that names a field, and is no text by itself
_ID_COLUMNS = ("group", "source", "origin_source", "origin_by")


@dataclass(slots=True)
class Proof:
    """What was read, where it still stands, and what could not be looked into."""

    files: int = 0
    holding: list[str] = field(default_factory=list)  # file, and where within it
    within: list[str] = field(default_factory=list)  # where a longer text holds one of the texts
    closed: list[str] = field(default_factory=list)  # what could not be looked into, and why


@dataclass(frozen=True, slots=True)
class Gone:
    """What should be gone."""

    texts: frozenset[str]
    ids: frozenset[str]  # of the texts, and what was asked for
    known: Callable[[str], bool]  # of a text: it was meant by this request, or an earlier try of it


def look_through(
    root: Path, gone: Gone, *, matched: Collection[Path] = (), progress: Progress = silent
) -> Proof:
    """Read every file under a folder.

    Args:
        root: the folder.
        gone: what should be in none of them.
        matched: tables of datasets and indexes whose rows were matched one by one. In them ids
            are not looked for: another dataset may well call another text by the same id.
        progress: told after every folder.
    """
    looker = _Looker(gone, matched)
    workspace = Workspace(root)
    for folder, names in folders(root, DEEPEST, workspace, foreign=looker.pass_by):
        for name in sorted(names - {NAME}):
            looker.see(folder / name)
            progress("look through files", looker.proof.files, None)
    looker.proof.closed += workspace.skipped
    unfinished = [path for path in workspace.left_behind if path.is_dir()]
    looker.proof.closed += [f"{path}: left behind by a process" for path in unfinished]
    return looker.proof


def is_clean(path: Path, *, gone: Gone) -> bool:
    """Tell whether a file was read and holds nothing of it."""
    looker = _Looker(gone)
    looker.see(path)
    return not (looker.proof.holding or looker.proof.within or looker.proof.closed)


class _Looker:
    def __init__(self, gone: Gone, matched: Collection[Path] = ()) -> None:
        self.proof = Proof()
        self._gone = gone
        self._matched = {path.resolve() for path in matched}
        self._long_ids = frozenset(id_ for id_ in gone.ids if len(id_) >= _SHORT_ID)
        self._within = Needles(gone.texts, fewest_bytes=_WITHIN)
        self._anywhere = Needles(gone.texts, ids=self._long_ids)

    def pass_by(self, folder: Path) -> None:
        self.proof.closed.append(f"{folder}: a tool's own folder, not read")

    def see(self, path: Path) -> None:
        """Look into a file, and note what it holds, or that it cannot be read."""
        self.proof.files += 1
        try:
            self._look(path)
        except _UNREADABLE as error:
            self.proof.closed.append(f"{path}: cannot be read ({error})")

    def _look(self, path: Path) -> None:
        suffix = path.suffix.lower()
        if path.name in _TOKENIZERS:
            return
        if suffix in _CLOSED:
            self.proof.closed.append(f"{path}: compressed in a way that is not opened here")
        elif suffix == ".parquet":
            self._look_at_table(path)
        elif suffix in (".json", ".jsonl", ".ndjson"):
            self._look_at_json(path, lines=suffix != ".json")
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as parts:
                for part in parts.infolist():
                    with parts.open(part) as file:
                        self._look_at_bytes(f"{path} ({part.filename})", file)
        else:
            with _opened(path, suffix) as file:
                self._look_at_bytes(str(path), file)

    def _look_at_bytes(self, where: str, file: IO[bytes]) -> None:
        if self._anywhere.found_in(iter(lambda: file.read(_BLOCK), b"")):
            self.proof.holding.append(where)

    def _look_at_json(self, path: Path, *, lines: bool) -> None:
        whole: list[int] = []
        with path.open("rb") as file:
            rows = enumerate(file, start=1) if lines else iter([(0, file.read())])
            for number, row in rows:
                try:
                    values = _said(json.loads(row), self._long_ids) if row.strip() else iter(())
                except ValueError:  # not what its name says: as bytes, then
                    found = self._anywhere.found_in([row])
                else:
                    found = self._any_whole(values, self._long_ids)
                if found:
                    whole.append(number)
                elif self._within.found_in([row]):
                    self.proof.within.append(f"{path}:{number}" if number else str(path))
        if whole:
            more = f" and {len(whole) - 1:,} more lines" if len(whole) > 1 else ""
            self.proof.holding.append(f"{path}:{whole[0]}{more}" if lines else str(path))

    def _look_at_table(self, path: Path) -> None:
        matched = path.resolve() in self._matched
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(4_096):
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    ids = self._gone.ids if _of_ids(name) else self._long_ids
                    ids = frozenset() if matched else ids
                    values = list(_strings(column, ids))
                    if self._any_whole(values, ids):
                        self.proof.holding.append(f"{path} ({name})")
                        return
                    joined = "\0".join(values).encode("utf-8", "surrogatepass")
                    if self._within.found_in([joined]):
                        self.proof.within.append(f"{path} ({name})")

    def _any_whole(self, values: Iterable[str], ids: AbstractSet[str]) -> bool:
        texts, known = self._gone.texts, self._gone.known
        return any(value in texts or value in ids or known(value) for value in values)


def _opened(path: Path, suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return gzip.GzipFile(path, "rb")  # type: ignore[return-value]
    if suffix == ".bz2":
        return bz2.BZ2File(path, "rb")
    return lzma.LZMAFile(path, "rb") if suffix == ".xz" else path.open("rb")


def _of_ids(name: str) -> bool:
    return name.endswith(("id", "_hits")) or name in _ID_COLUMNS


def _said(value: Any, ids: AbstractSet[str]) -> Iterator[str]:
    """Yield every string within a value of JSON, and the keys that do not just name a field."""
    yield from leaves(value)
    yield from (key for key in _keys(value) if key in ids or not _FIELD.fullmatch(key))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    inner = value.values() if isinstance(value, dict) else value
    for one in inner if isinstance(value, dict | list) else ():
        yield from _keys(one)


def _strings(column: pa.Array, ids: AbstractSet[str]) -> Iterator[str]:
    """Yield each different string of a column, lists and the JSON of origins opened."""
    if pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type):
        yield from leaves(column.to_pylist())
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        for value in column.unique().to_pylist():
            if value:
                yield value
                if value.startswith("{"):
                    yield from _said(_json(value), ids)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
