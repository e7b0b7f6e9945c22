"""Opens text, plain or gzipped, as numbered lines in UTF-8, and says what is wrong with it."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from nearfar.errors import BadFile, BadRecord

_GZIP_MAGIC = b"\x1f\x8b"
_BYTES_PER_FIELD = 1 << 30  # the csv module refuses documents above 128 KiB until told otherwise


def require_file(path: Path) -> None:
    """Make sure that there is a file with something in it.

    Raises:
        BadFile: it is missing, is a folder, is empty, or may not be read.
    """
    try:
        if path.is_dir():
            raise BadFile(f"{path}: expected a file, found a folder. Name a file inside it.")
        if not path.exists():
            raise BadFile(f"{path}: no such file. Check the path.")
        with path.open("rb") as file:
            if not file.read(1):
                raise BadFile(f"{path}: the file is empty. Was it copied to its end?")
    except OSError as error:
        raise BadFile(
            f"{path}: cannot be read ({error.strerror}). Check its permissions."
        ) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1, and its line end.

    Raises:
        BadFile: the file is missing, empty, unreadable, not UTF-8, or its gzip is damaged.
    """
    require_file(path)
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                yield number, _decoded(raw, path, number)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(
            f"{path}:{number + 1}: the gzip data is cut off or damaged after line {number} "
            f"({error}). Fetch or compress the file again."
        ) from error
    except OSError as error:
        raise BadFile(f"{path}:{number + 1}: cannot be read on ({error}).") from error
    if not number:
        raise BadFile(f"{path}: the file is empty once unpacked. Was it written to its end?")


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    if path.suffix == ".gz" and not packed:
        raise BadFile(
            f"{path}: expected gzip, as the name ends in .gz, found something else. "
            "If the file is not packed, take .gz off its name."
        )
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _decoded(raw: bytes, path: Path, number: int) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        start = raw[:2]
        likely = "UTF-16" if number == 1 and start in (b"\xff\xfe", b"\xfe\xff") else "LATIN1"
        raise BadFile(
            f"{path}:{number}: expected UTF-8, found byte 0x{raw[error.start]:02x} at "
            f"position {error.start + 1} of the line. Convert the file, for example with "
            f"`iconv -f {likely} -t UTF-8`."
        ) from error
    return line.removeprefix("\ufeff") if number == 1 else line


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON object of each line with the line's number; blank lines are passed over.

    Raises:
        BadFile: see `numbered_lines`; or there are only blank lines.
        BadRecord: a line is not one JSON object.
    """
    found = False
    for number, line in numbered_lines(path):
        if line.strip():
            found = True
            yield number, _object(line, f"{path}:{number}")
    if not found:
        raise BadFile(f"{path}: only blank lines. Expected one JSON object a line.")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:  # half of a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadRecord(
            f"{where}: a text holds half of a surrogate pair, which is not Unicode. "
            "Write the character whole, or remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadRecord(
            f"{where}: expected one JSON object, found {_short(line)!r} ({error}). "
            "Correct the line or remove it."
        ) from error
    if not isinstance(value, dict):
        raise BadRecord(
            f"{where}: expected one JSON object a line, found a {type(value).__name__}. "
            "A JSON list becomes lines with `jq -c '.[]'`."
        )
    return value


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row of a CSV file with the line it starts on.

    Raises:
        BadFile: see `numbered_lines`.
        BadRecord: a quotation is not closed, or goes on after its end.
    """
    csv.field_size_limit(_BYTES_PER_FIELD)
    reader = csv.reader((line for _, line in numbered_lines(path)), strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise BadRecord(
            f"{path}:{start}: not CSV ({error}). Put texts with commas, quotation marks or "
            "line ends in double quotes, and double the quotes inside."
        ) from error


def tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line of a TSV file. A tab always divides; quotes are text.

    Raises:
        BadFile: see `numbered_lines`.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            yield number, line.rstrip("\r\n").split("\t")


def _short(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 60 else line[:57] + "..."
