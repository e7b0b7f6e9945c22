"""Turns a source of any kind that is known into a dataset, once, however often it is asked."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nearfar.data.dataset import Dataset
from nearfar.data.formulas import looks_like_formula
from nearfar.data.kinds import PYTHON_DOCS, Opened, ReadOptions, open_source
from nearfar.data.notes import Bundle
from nearfar.data.rejects import REJECTS, BadRow, Rejects, Tally
from nearfar.data.writer import DatasetWriter, require_replaceable, write_dataset
from nearfar.errors import BadFile
from nearfar.files import whole_folder
from nearfar.progress import Progress, silent
from nearfar.records import Judgment

__all__ = ["PYTHON_DOCS", "ImportOptions", "ImportSummary", "import_source"]
_RECORDS_PER_NEWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions(ReadOptions):
    """How a source is to be read, and what is made of it."""

    licence: str = "unknown"  # SPDX name of the licence of the texts
    on_error: Literal["refuse", "reject"] = "refuse"  # reject: set bad rows aside, and go on


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was imported, what was guessed on the way, and what was left out."""

    dataset: Dataset
    kind: str  # beir, pairs, python-docs, ...
    unchanged: bool  # the same dataset stood there already, and was left as it was
    sentences: tuple[str, ...]  # guesses, to be said aloud
    left_out: Mapping[str, int]
    merged: Mapping[str, int]  # rows that only repeated another, by table
    tally: Tally = field(default_factory=Tally)  # what became of each row


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

    With `on_error="reject"`, rows that break their contract become lines of
    `folder/rejects.jsonl`. Nothing is lost: rows accepted, merged, rejected and left out are
    together the rows that were read, and the manifest keeps these counts as `source_rows`.

    Args:
        source: "python-docs", a BEIR folder, hub:ORG/NAME, or whatever `read_rows` reads.
        folder: where the dataset will stand.
        options: how to read.
        progress: told the number of records now and then.
        replace: let a different dataset be replaced.

    Raises:
        BadFile: the source cannot be read, or something else stands in `folder`.
        BadRecord: a row breaks its contract.
        BadSetting: an option names what is not there.
    """
    require_replaceable(folder)
    standing = _standing(folder, replace)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}.", suffix=".import", dir=folder.parent
        ) as staging:
            aside = Path(staging) / REJECTS if options.on_error == "reject" else None
            rejects = Rejects(aside)
            with _reading(source):
                opened = open_source(source, options, rejects)
            fresh = _written(Path(staging) / "dataset", opened, options, rejects, progress)
            unchanged = _take_place(fresh, folder, standing, replace)
    except OSError as error:
        raise BadFile(f"{folder}: cannot write the dataset ({error}). Is there room?") from error
    dataset = Dataset.open(folder)
    return ImportSummary(
        dataset=dataset,
        kind=opened.kind,
        unchanged=unchanged,
        sentences=tuple(opened.notes.sentences),
        left_out=dict(opened.notes.left_out),
        merged=dict(dataset.manifest["merged"]),
        tally=rejects.tally,
    )


def _standing(folder: Path, replace: bool) -> Dataset | None:
    """Return the dataset that stands there, if it is of this version.

    Raises:
        BadFile: it is of another version, and may not be replaced.
    """
    if not (folder / "manifest.json").is_file():
        return None
    try:
        return Dataset.open(folder)
    except BadFile as error:
        if replace:
            return None
        raise BadFile(
            f"{folder}: a dataset of another version of nearfar stands there. Name another folder, "
            "or let it be replaced (--replace)."
        ) from error


@contextmanager
def _reading(source: object) -> Iterator[None]:
    """Tell trouble with reading from trouble with writing, where a reader has not done so."""
    try:
        yield
    except OSError as error:
        raise BadFile(
            f"{source}: cannot be read ({error}). Check the path and its permissions, and the "
            f"room in {tempfile.gettempdir()}."
        ) from error


def _bundles(opened: Opened) -> Iterator[Bundle]:
    with _reading(opened.parent["path"]):
        yield from opened.bundles()


def _written(
    folder: Path, opened: Opened, options: ImportOptions, rejects: Rejects, progress: Progress
) -> Dataset:
    licence = opened.licence if opened.licence and options.licence == "unknown" else options.licence
    try:
        with write_dataset(
            folder,
            licence=licence,
            parents=[dict(opened.parent)],
            shares=options.shares,
            rejects=rejects,
        ) as writer:
            _take_all(writer, opened, rejects, progress)
    finally:
        rejects.close()
    if rejects.tally.rejected:
        (folder.parent / REJECTS).rename(folder / REJECTS)
    return Dataset.open(folder)


def _take_all(writer: DatasetWriter, opened: Opened, rejects: Rejects, progress: Progress) -> None:
    number = told = formulas = 0
    first_formula = ""
    for bundle in _bundles(opened):
        number += len(bundle.records)
        if number // _RECORDS_PER_NEWS > told:
            told = number // _RECORDS_PER_NEWS
            progress("records", told * _RECORDS_PER_NEWS, None)
        if _take(writer, bundle, rejects) and _has_formula(bundle):
            formulas += 1
            first_formula = first_formula or bundle.where
    progress("records", number, number)
    if formulas:
        opened.notes.say(
            f"{formulas:,} rows hold a text that a spreadsheet would run as a formula, the first "
            f"at {first_formula}. They are kept as they are; escape them in whatever you export."
        )


def _take(writer: DatasetWriter, bundle: Bundle, rejects: Rejects) -> bool:
    """Add a bundle and count its row; tell whether anything of it was new."""
    tally = rejects.tally
    if bundle.left_out:
        tally.left_out[bundle.left_out] += 1
        return False
    try:
        new = writer.add_together(bundle.records)
    except BadRow as error:
        rejects.take(error, bundle.where, bundle.raw)
        return False
    if not bundle.again:
        tally.accepted += new
        tally.merged += not new
    return new


def _has_formula(bundle: Bundle) -> bool:
    return any(
        not isinstance(record, Judgment) and looks_like_formula(record.content)
        for record in bundle.records
    )


def _take_place(fresh: Dataset, folder: Path, standing: Dataset | None, replace: bool) -> bool:
    """Move a dataset to where it shall stand; return True if it stands there already."""
    if standing and standing.manifest == fresh.manifest:
        return True
    if standing and standing.digest != fresh.digest and not replace:
        raise BadFile(
            f"{folder}: another dataset stands there ({_size(standing)}; this one has "
            f"{_size(fresh)}). Name another folder, or let it be replaced (--replace)."
        )
    _move(fresh.folder, folder)
    return False


def _move(fresh: Path, folder: Path) -> None:
    with whole_folder(folder, replace=folder.exists()) as part:
        for file in fresh.iterdir():
            file.rename(part / file.name)


def _size(dataset: Dataset) -> str:
    return ", ".join(f"{rows:,} {table}" for table, rows in dataset.manifest["rows"].items())
