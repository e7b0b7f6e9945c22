"""Proof of a forgetting: every file of a workspace is opened and read for what should be gone.

A text or an id that stands whole, as a cell of Parquet or a value of JSON, is found by equality,
however short. Texts within longer ones, and in files of any other kind, are found by their bytes.
"""

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.lineage.matching import leaves
from nearfar.lineage.needles import Needles
from nearfar.lineage.tombstones import NAME
from nearfar.lineage.workspace import Workspace, folders
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
    pa.ArrowException,
    zipfile.BadZipFile,
    lzma.LZMAError,
)
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


def look_through(root: Path, gone: Gone, *, progress: Progress = silent) -> Proof:
    """Read every file under a folder."""
    looker = _Looker(gone)
    workspace = Workspace(root)
    for folder, names in folders(root, 100, workspace, foreign=looker.pass_by):
        for name in sorted(names - {NAME}):
            path = folder / name
            if path.exists():  # or else a link to what is gone
                looker.see(path)
            progress("look through files", looker.proof.files, None)
    looker.proof.closed += workspace.skipped
    unfinished = [path for path in workspace.left_behind if path.is_dir()]
    looker.proof.closed += [f"{path}: left behind by a process" for path in unfinished]
    return looker.proof


def is_clean(path: Path, *, gone: Gone) -> bool:
    """Tell whether a file, or every file under a folder, was read and holds nothing of it."""
    looker = _Looker(gone)
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            looker.see(file)
    return not (looker.proof.holding or looker.proof.within or looker.proof.closed)


class _Looker:
    def __init__(self, gone: Gone) -> None:
        self.proof = Proof()
        self._gone = gone
        self._long_ids = {id_ for id_ in gone.ids if len(id_) >= _SHORT_ID}
        self._within = Needles(gone.texts, fewest_bytes=_WITHIN)
        self._anywhere = Needles(gone.texts | self._long_ids)

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
                    values = leaves(json.loads(row)) if row.strip() else iter(())
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
        # In the tables of datasets and indexes ids belong to their own rows: another dataset
        # may well call another text by the same id. They were matched row by row before.
        ours = (path.parent / "manifest.json").exists() or (path.parent / "index.json").exists()
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(4_096):
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    values = list(_strings(column))
                    ids = self._gone.ids if _of_ids(name) else self._long_ids
                    if self._any_whole(values, set() if ours else ids):
                        self.proof.holding.append(f"{path} ({name})")
                        return
                    if self._within.found_in(["\0".join(values).encode()]):
                        self.proof.within.append(f"{path} ({name})")

    def _any_whole(self, values: Iterable[str], ids: Iterable[str]) -> bool:
        texts, known = self._gone.texts, self._gone.known
        among = ids if isinstance(ids, set | frozenset) else set(ids)
        return any(value in texts or value in among or known(value) for value in values)


def _opened(path: Path, suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return gzip.GzipFile(path, "rb")  # type: ignore[return-value]
    if suffix == ".bz2":
        return bz2.BZ2File(path, "rb")
    return lzma.LZMAFile(path, "rb") if suffix == ".xz" else path.open("rb")


def _of_ids(name: str) -> bool:
    return name.endswith(("id", "_hits")) or name in _ID_COLUMNS


def _strings(column: pa.Array) -> Iterator[str]:
    """Yield each different string of a column, lists and the JSON of origins opened."""
    if pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type):
        yield from leaves(column.to_pylist())
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        for value in column.unique().to_pylist():
            if value:
                yield value
                if value.startswith("{"):
                    yield from leaves(_json(value))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
