"""Turns a source of any kind that is known into a dataset, once, however often it is asked."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from platform import python_version
from typing import Any, Protocol

from nearfar.data.beir import BeirReader, beir_files, is_beir
from nearfar.data.columns import Columns
from nearfar.data.dataset import Dataset
from nearfar.data.lines import require_file
from nearfar.data.modules import PYTHON
from nearfar.data.notes import Notes, Record
from nearfar.data.pairs import PairsReader
from nearfar.data.python_docs import PythonDocsReader
from nearfar.data.rows import files_of_rows, kind_of_rows
from nearfar.data.splits import Shares
from nearfar.data.writer import require_replaceable, write_dataset
from nearfar.errors import BadFile
from nearfar.files import whole_folder
from nearfar.fingerprint import canonical_json, file_sha256
from nearfar.progress import Progress, silent

PYTHON_DOCS = "python-docs"
_BYTES_HASHED = 1 << 30  # of a larger file, the size stands in for the hash
_RECORDS_PER_NEWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How a source is to be read; each reader takes what concerns it."""

    licence: str = "unknown"  # SPDX name of the licence of the texts
    shares: Shares = field(default_factory=Shares)  # where the source gives no split
    keep_splits: bool = True  # False: divide anew by the hash of the groups
    origin_kind: str = "human"  # who judged: human, click, nli, sts, ... (python-docs: title)
    group_field: str = ""  # BEIR: a key of the documents
    columns: Columns = field(default_factory=Columns)  # pairs: what is called what
    packages: tuple[str, ...] | None = None  # python-docs: None is the standard library alone


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was imported, what was guessed on the way, and what was left out."""

    dataset: Dataset
    kind: str  # beir, pairs, python-docs
    unchanged: bool  # the same dataset stood there already, and was left as it was
    sentences: tuple[str, ...]  # guesses, to be said aloud
    left_out: Mapping[str, int]
    merged: Mapping[str, int]  # rows that only repeated another, by table


class _Reader(Protocol):
    notes: Notes

    def records(self) -> Iterator[Record]: ...


def import_source(
    source: str | Path,
    folder: Path,
    options: ImportOptions,
    *,
    progress: Progress = silent,
    replace: bool = False,
) -> ImportSummary:
    """Read a source and let the dataset made of it stand in `folder`.

    The same content again changes nothing. What stands there is compared before it is
    touched, so a source that fails half way leaves the old dataset whole.

    Args:
        source: "python-docs", a BEIR folder, or whatever `read_rows` reads.
        folder: where the dataset will stand.
        options: how to read.
        progress: told the number of records now and then.
        replace: let a different dataset be replaced.

    Raises:
        BadFile: the source cannot be read, or something else stands in `folder`.
        BadRecord: a row breaks its contract.
        BadSetting: an option names what is not there.
    """
    kind, reader = _reader(source, options)
    require_replaceable(folder)
    standing = Dataset.open(folder) if (folder / "manifest.json").is_file() else None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}.", suffix=".import", dir=folder.parent
        ) as staging:
            fresh = _written(Path(staging) / "dataset", reader, options, progress)
            unchanged = _take_place(fresh, folder, standing, replace)
    except OSError as error:
        raise BadFile(f"{folder}: cannot write the dataset ({error}). Is there room?") from error
    dataset = Dataset.open(folder)
    return ImportSummary(
        dataset=dataset,
        kind=kind,
        unchanged=unchanged,
        sentences=tuple(reader.notes.sentences),
        left_out=dict(reader.notes.left_out),
        merged=dict(dataset.manifest["merged"]),
    )


def _reader(source: str | Path, options: ImportOptions) -> tuple[str, _Reader]:
    if source == PYTHON_DOCS:
        return PYTHON_DOCS, PythonDocsReader(packages=options.packages)
    path = Path(source)
    if path.is_dir() and (path / "manifest.json").is_file() and not kind_of_rows(path):
        raise BadFile(f"{path}: this is a dataset already. Use it as it is.")
    if path.is_dir() and is_beir(path):
        return "beir", BeirReader(
            path,
            group_field=options.group_field,
            keep_splits=options.keep_splits,
            kind=options.origin_kind,
        )
    return "pairs", PairsReader(
        path, wanted=options.columns, keep_splits=options.keep_splits, kind=options.origin_kind
    )


def _written(folder: Path, reader: _Reader, options: ImportOptions, progress: Progress) -> Dataset:
    licence = options.licence
    if isinstance(reader, PythonDocsReader) and reader.packages in (None, (PYTHON,)):
        licence = "PSF-2.0" if licence == "unknown" else licence
    parents = [_parent(reader)]
    with write_dataset(folder, licence=licence, parents=parents, shares=options.shares) as writer:
        number = 0
        for number, record in enumerate(reader.records(), start=1):
            writer.add(record)
            if number % _RECORDS_PER_NEWS == 0:
                progress("records", number, None)
        progress("records", number, number)
    return Dataset.open(folder)


def _parent(reader: _Reader) -> dict[str, Any]:
    """Return what the dataset was made from, enough to find it again and to see it change."""
    if isinstance(reader, PythonDocsReader):
        packages = list(reader.packages or (PYTHON,))
        return {"kind": PYTHON_DOCS, "path": f"python {python_version()}", "packages": packages}
    if isinstance(reader, BeirReader):
        return {"kind": "beir", "path": str(reader.folder)} | _hash(beir_files(reader.folder))
    assert isinstance(reader, PairsReader)
    return {"kind": "pairs", "path": str(reader.source)} | _hash(files_of_rows(reader.source))


def _hash(files: list[Path]) -> dict[str, Any]:
    hashes = {}
    for path in files:
        require_file(path)
        size = path.stat().st_size
        name = f"{path.parent.name}/{path.name}"
        hashes[name] = file_sha256(path) if size <= _BYTES_HASHED else f"{size} bytes"
    if len(files) == 1:
        return {"sha256": next(iter(hashes.values()))}
    listed = canonical_json(hashes).encode()
    return {"files": len(files), "sha256": hashlib.sha256(listed).hexdigest()}


def _take_place(fresh: Dataset, folder: Path, standing: Dataset | None, replace: bool) -> bool:
    """Move a dataset to where it shall stand; return True if it stands there already."""
    if standing and standing.manifest == fresh.manifest:
        return True
    if standing and standing.digest != fresh.digest and not replace:
        raise BadFile(
            f"{folder}: another dataset stands there ({_size(standing)}; this one has "
            f"{_size(fresh)}). Name another folder, or ask for it to be replaced."
        )
    _move(fresh.folder, folder)
    return False


def _move(fresh: Path, folder: Path) -> None:
    with whole_folder(folder, replace=folder.exists()) as part:
        for file in fresh.iterdir():
            file.rename(part / file.name)


def _size(dataset: Dataset) -> str:
    return ", ".join(f"{rows:,} {table}" for table, rows in dataset.manifest["rows"].items())
