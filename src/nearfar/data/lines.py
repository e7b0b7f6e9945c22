"""Opens text, plain or gzipped, as numbered lines in UTF-8, and says what is wrong with it."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from nearfar.data.rejects import REFUSE, BadRow, Rejects
from nearfar.errors import BadFile

_GZIP_MAGIC = b"\x1f\x8b"
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}  # by the mark at the start of a file
BYTES_PER_LINE = 16 << 20  # a longer one is no row of texts, and would fill the memory
_BYTES_SKIPPED_AT_ONCE = 1 << 20


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


def numbered_lines(
    path: Path, rejects: Rejects = REFUSE, name: str = ""
) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1, and its line end.

    Args:
        path: the file.
        rejects: what happens to a line that is not UTF-8, too long, or holds a NUL byte.
        name: what the file is called in the places of its rows; default its own name.

    Raises:
        BadFile: the file is missing, empty, unreadable or UTF-16, its gzip is damaged, or a
            line is not UTF-8.
        BadRecord: a line is too long, or holds a NUL byte.
    """
    require_file(path)
    name = name or path.name
    number = 0
    try:
        with _open(path) as file:
            while raw := file.readline(BYTES_PER_LINE + 1):
                number += 1
                if len(raw) > BYTES_PER_LINE:
                    size = len(raw) + _skipped(file, raw)
                    rejects.take(_too_long(path, number, size), f"{name}:{number}", raw, line=True)
                elif (line := _decoded(raw, path, number, name, rejects)) is not None:
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(
            f"{path}:{number + 1}: the gzip data is cut off or damaged after line {number} "
            f"({error}). Fetch or compress the file again; how many rows are missing cannot be "
            "known, so none is taken."
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
    if not packed:
        return path.open("rb")
    return cast(IO[bytes], io.BufferedReader(cast(Any, gzip.open(path, "rb")), 1 << 16))


def _skipped(file: IO[bytes], raw: bytes) -> int:
    """Pass over the rest of a line, a piece at a time; return how long it was."""
    size = 0
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(_BYTES_SKIPPED_AT_ONCE)
        size += len(raw)
    return size


def _too_long(path: Path, number: int, size: int) -> BadRow:
    return BadRow(
        "line too long",
        f"{path}:{number}: expected lines of at most {BYTES_PER_LINE >> 20} MiB, found one of "
        f"{size / (1 << 20):.1f} MiB. Divide the document into passages, or, if this is JSON "
        "in one line, write one object a line with `jq -c '.[]'`.",
    )


def _decoded(raw: bytes, path: Path, number: int, name: str, rejects: Rejects) -> str | None:
    """Return a line as text, or None if it was set aside."""
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        wide = _WIDE.get(raw[:2]) if number == 1 else None
        problem = BadFile(
            f"{path}:{number}: expected UTF-8, found byte 0x{raw[error.start]:02x} at "
            f"position {error.start + 1} of the line. Convert the file, for example with "
            f"`iconv -f {wide or 'LATIN1'} -t UTF-8`."
        )
        if wide:  # then no line of it can be read, and each would be set aside
            raise problem from error
        rejects.take(problem, f"{name}:{number}", raw, reason="not UTF-8", line=True)
        return None
    if "\0" in line:
        problem_row = BadRow(
            "NUL byte",
            f"{path}:{number}: found a NUL byte at position {line.index(chr(0)) + 1} of the line; "
            "text has none. If each other byte is NUL the file is UTF-16: convert it with "
            "`iconv -f UTF-16 -t UTF-8`; else it was damaged: fetch it again.",
        )
        rejects.take(problem_row, f"{name}:{number}", raw, line=True)
        return None
    return line.removeprefix("\ufeff") if number == 1 else line


def json_lines(
    path: Path, rejects: Rejects = REFUSE, name: str = ""
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON object of each line with the line's number; blank lines are passed over.

    Raises:
        BadFile: see `numbered_lines`; or there are only blank lines.
        BadRecord: a line is not one JSON object.
    """
    found = False
    name = name or path.name
    for number, line in numbered_lines(path, rejects, name):
        if line.strip():
            found = True
            try:
                value = _object(line, f"{path}:{number}")
            except BadRow as error:
                rejects.take(error, f"{name}:{number}", line, line=True)
                continue
            yield number, value
    if not found and rejects.refusing:
        raise BadFile(f"{path}: only blank lines. Expected one JSON object a line.")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:  # half of a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadRow(
            "not Unicode",
            f"{where}: a text holds half of a surrogate pair, which is not Unicode. "
            "Write the character whole, or remove it.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadRow(
            "not JSON",
            f"{where}: expected one JSON object, found {_short(line)!r} ({error}). "
            "Correct the line or remove it.",
        ) from error
    if not isinstance(value, dict):
        raise BadRow(
            "not JSON",
            f"{where}: expected one JSON object a line, found a {type(value).__name__}. "
            "A JSON list becomes lines with `jq -c '.[]'`.",
        )
    return value


def json_in(text: str) -> Any:
    """Return what a cell of JSON says.

    Raises:
        ValueError: it is broken or nested too deeply; a UnicodeEncodeError, which is one too: it
            holds half of a surrogate pair, which is no text.
    """
    try:
        value = json.loads(text)
        if "\\ud" in text.casefold():
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def tsv_rows(
    path: Path, rejects: Rejects = REFUSE, name: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line of a TSV file. A tab always divides; quotes are text.

    Raises:
        BadFile, BadRecord: see `numbered_lines`.
    """
    for number, line in numbered_lines(path, rejects, name):
        if line.strip():
            yield number, line.rstrip("\r\n").split("\t")


def _short(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 60 else line[:57] + "..."
