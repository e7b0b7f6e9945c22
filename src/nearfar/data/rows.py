"""Reads rows of named values: JSONL, CSV, TSV, text, Parquet, Arrow; a file, or a folder."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.data.commas import csv_rows
from nearfar.data.lines import json_lines, numbered_lines, require_file, tsv_rows
from nearfar.data.rejects import REFUSE, BadRow, Rejects
from nearfar.errors import BadFile, BadRecord
from nearfar.records import Split

_ROWS_PER_BATCH = 1_000
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and where it stands."""

    where: str  # file:line, or file:row N where a file has no lines
    values: dict[str, Any]
    split: str = ""  # what the folder calls the part it came from


def is_hugging_face_folder(folder: Path) -> bool:
    """Tell whether a folder was written by `save_to_disk` of 🤗 datasets."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def kind_of_rows(source: Path) -> str | None:
    """Return what a source is read as: a suffix such as ".csv", "🤗", "splits", or None."""
    if source.is_dir():
        return "🤗" if is_hugging_face_folder(source) else "splits" if _parts(source) else None
    suffixes = [suffix.lower() for suffix in source.suffixes]
    suffix = next((s for s in reversed(suffixes) if s != ".gz"), "")
    return suffix if suffix in _READERS else None


def read_rows(source: Path, rejects: Rejects = REFUSE) -> Iterator[Row]:
    """Yield the rows of a file or of a 🤗 datasets folder, in order.

    Raises:
        BadFile: it is missing, empty, damaged, or of a kind that is not read.
        BadRecord: a row breaks the format, and is not set aside.
    """
    for file, name, split in _files(source):
        read = _READERS[str(kind_of_rows(file))]
        for row in read(file, name, rejects):
            yield Row(row.where, row.values, split) if split else row


def files_of_rows(source: Path) -> list[Path]:
    """Return the files that `read_rows` would read.

    Raises:
        BadFile: the source is missing, or of a kind that is not read.
    """
    return [file for file, _, _ in _files(source)]


def split_names(source: Path) -> list[str]:
    """Return what the parts of a folder are called; none for a file or a single data set."""
    path = source / "dataset_dict.json"
    if not path.is_file():
        return list(_parts(source)) if kind_of_rows(source) == "splits" else []
    splits = _facts(path).get("splits")
    if not isinstance(splits, list) or not splits:
        raise BadFile(f"{path}: names no splits. Save the data set again.")
    return [str(split) for split in splits]


def _parts(folder: Path) -> dict[str, Path]:
    """Return the files of a folder that are called train, dev, test or the like, by that name."""
    parts: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.partition(".")[0]
        if name in SPLIT_NAMES and path.is_file() and kind_of_rows(path):
            if name in parts:
                raise BadFile(
                    f"{folder}: both {parts[name].name} and {path.name} are there. "
                    "Remove one of them."
                )
            parts[name] = path
    return parts


def _files(source: Path) -> list[tuple[Path, str, str]]:
    """Return the path, the name to cite and the split of each file of a source."""
    if not source.exists():
        raise BadFile(f"{source}: no such file or folder. Check the path.")
    if kind_of_rows(source) is None:
        what = "folder" if source.is_dir() else "file"
        raise BadFile(
            f"{source}: not a kind of {what} that is read. Read are files in "
            f"{', '.join(_READERS)} (all but the last two also as .gz), folders of such files "
            "called train, dev and test, BEIR folders, and folders that 🤗 datasets saved to disk."
        )
    if source.is_file():
        return [(source, source.name, "")]
    if is_hugging_face_folder(source):
        return _arrow_files(source)
    return [(path, path.name, split) for split, path in _parts(source).items()]


def _json_rows(path: Path, name: str, rejects: Rejects) -> Iterator[Row]:
    for number, values in json_lines(path, rejects, name):
        yield Row(f"{name}:{number}", values)


def _text_rows(path: Path, name: str, rejects: Rejects) -> Iterator[Row]:
    for number, line in numbered_lines(path, rejects, name):
        if line.strip():
            yield Row(f"{name}:{number}", {"text": line.strip()})


def _csv_rows(path: Path, name: str, rejects: Rejects) -> Iterator[Row]:
    yield from _under_header(csv_rows(path, rejects, name), name, rejects)


def _tsv_rows(path: Path, name: str, rejects: Rejects) -> Iterator[Row]:
    yield from _under_header(tsv_rows(path, rejects, name), name, rejects)


def _under_header(
    rows: Iterator[tuple[int, list[str]]], name: str, rejects: Rejects
) -> Iterator[Row]:
    first, header = next(rows, (0, []))
    twice = [column for column, times in Counter(header).items() if times > 1 and column]
    if twice:
        raise BadRecord(
            f"{name}:{first}: expected a header that names each column once, found {twice[0]!r} "
            f"{header.count(twice[0])} times. Rename all but one of them."
        )
    for number, cells in rows:
        if len(cells) == len(header):
            yield Row(f"{name}:{number}", dict(zip(header, cells, strict=True)))
            continue
        problem = BadRow(
            "wrong number of columns",
            f"{name}:{number}: expected {len(header)} columns as in the header "
            f"({', '.join(header)}), found {len(cells)}. Correct the line or remove it.",
        )
        rejects.take(problem, f"{name}:{number}", "\t".join(cells), line=True)


def _parquet_rows(path: Path, name: str, rejects: Rejects) -> Iterator[Row]:
    require_file(path)
    try:
        with pq.ParquetFile(path) as file:
            yield from _batch_rows(file.iter_batches(_ROWS_PER_BATCH), name, rejects)
    except (OSError, pa.ArrowException) as error:
        raise BadFile(
            f"{path}: expected Parquet, cannot read it ({error}). Write the file again."
        ) from error


def _arrow_rows(path: Path, name: str, rejects: Rejects) -> Iterator[Row]:
    require_file(path)
    try:
        with pa.memory_map(str(path)) as file:
            yield from _batch_rows(_arrow_batches(file), name, rejects)
    except (OSError, pa.ArrowException) as error:
        raise BadFile(
            f"{path}: expected an Arrow file, cannot read it ({error}). Save the data set again."
        ) from error


def _arrow_batches(file: Any) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(file)  # Feather and the like carry an index at their end
    except pa.ArrowInvalid:
        file.seek(0)
        yield from pa.ipc.open_stream(file)  # what 🤗 datasets writes
        return
    for place in range(reader.num_record_batches):
        yield reader.get_batch(place)


def _batch_rows(batches: Iterator[pa.RecordBatch], name: str, rejects: Rejects) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_PER_BATCH):  # a batch may be the whole file
            piece = batch.slice(start, _ROWS_PER_BATCH)
            for values in _values(piece, name, number, rejects):
                number += 1
                if values is not None:
                    yield Row(f"{name}:row {number}", values)


def _values(
    batch: pa.RecordBatch, name: str, before: int, rejects: Rejects
) -> Iterator[dict[str, Any] | None]:
    """Yield the values of each row, or None for one that was set aside."""
    batch = _in_microseconds(batch)
    try:
        yield from batch.to_pylist()
        return
    except (OverflowError, ValueError):
        pass  # one of a thousand: look for it
    for place in range(batch.num_rows):
        row = batch.slice(place, 1)
        where = f"{name}:row {before + place + 1}"
        try:
            yield row.to_pylist()[0]
        except UnicodeDecodeError as error:
            message = f"{where}: a text is not UTF-8 ({error}). Write it again as UTF-8."
            rejects.take(BadRow("not UTF-8", message), where, bytes(error.object), line=True)
            yield None
        except (OverflowError, ValueError) as error:
            message = (
                f"{where}: expected dates of the years 1 to 9999, found another ({error}). "
                "Correct the row, or write the column as text."
            )
            rejects.take(BadRow("not a date", message), where, str(row), line=True)
            yield None


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose times Python can tell: nanoseconds are finer than it knows."""
    for place, column in enumerate(batch.schema):
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            coarser = pa.timestamp("us", kind.tz)
        elif pa.types.is_time64(kind) and kind.unit == "ns":
            coarser = pa.time64("us")
        else:
            continue
        times = batch.column(place).cast(coarser, safe=False)
        batch = batch.set_column(place, column.with_type(coarser), times)
    return batch


def table_rows(part: Any, name: str, rejects: Rejects) -> Iterator[Row]:
    """Yield the rows of one split of 🤗 datasets that hands out Arrow tables.

    Raises:
        BadRecord: a text is not UTF-8, and is not set aside.
    """
    tables = part.iter(batch_size=_ROWS_PER_BATCH)
    batches = (batch for table in tables for batch in table.to_batches())
    for row in _batch_rows(batches, name, rejects):
        yield Row(row.where, row.values, name)


def _arrow_files(folder: Path) -> list[tuple[Path, str, str]]:
    """Return the path, the name inside the folder and the split of each Arrow file, in order."""
    if not (folder / "dataset_dict.json").is_file():
        return [(folder / name, name, "") for name in _data_files(folder)]
    return [
        (folder / split / name, f"{split}/{name}", split)
        for split in split_names(folder)
        for name in _data_files(folder / split)
    ]


def _data_files(folder: Path) -> list[str]:
    files = _facts(folder / "state.json").get("_data_files")
    names = [file.get("filename") for file in files or [] if isinstance(file, dict)]
    if not names or not all(isinstance(name, str) for name in names):
        raise BadFile(f"{folder / 'state.json'}: names no data files. Save the data set again.")
    return [str(name) for name in names]


def _facts(path: Path) -> dict[str, Any]:
    require_file(path)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadFile(f"{path}: expected JSON ({error}). Save the data set again.") from error
    return facts if isinstance(facts, dict) else {}


_READERS = {
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".txt": _text_rows,
    ".parquet": _parquet_rows,
    ".arrow": _arrow_rows,
}
