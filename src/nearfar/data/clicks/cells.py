"""Reads the cells of a search log: lists, ids, positions, clicks, seconds and times."""

import datetime
import math
import re
from dataclasses import dataclass
from typing import Any

from nearfar.data.lines import json_in
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row

_IDS = ("id", "_id", "document_id", "doc_id", "docid", "document", "url")
_TEXTS = ("text", "content", "body")
_POSITIONS = ("position", "rank", "pos")
_DWELLS = ("dwell", "dwell_seconds", "seconds", "dwell_time", "dwell_ms", "dwell_time_ms")
_CLICK = {"click", "clicked"}  # the name of an event of its own
_YES = {"true", "t", "yes", "y", *_CLICK}
_NO = {"", "false", "f", "no", "n", "none", "null", "impression", "view", "show", "shown"}
_DAY = re.compile(r"(19|20)\d{6}")  # 20240131
_MILLISECONDS = 1e11  # seconds since 1970 reach this in the year 5138
_MICROSECONDS = 1e14
_LATEST = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list of shown or clicked documents."""

    id: str = ""
    text: str = ""
    position: int | None = None
    dwell: float | None = None  # seconds


def listed(row: Row, column: str | None) -> list[Any]:
    """Return the entries of a cell: a list, JSON in a text, or ids with | , ; or spaces between.

    Raises:
        BadRow: the text begins as JSON and is none.
    """
    value = row.values.get(column or "")
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    if value.lstrip().startswith(("[", "{")):
        try:
            parsed = json_in(value)
        except ValueError as error:
            raise BadRow(
                "broken list",
                f"{row.where}: expected a JSON list in {column!r}, found {value!r:.60} ({error}). "
                "Correct the row, or divide plain ids with |.",
            ) from error
        return parsed if isinstance(parsed, list) else [parsed]
    divided = value.split("|") if "|" in value else re.split(r"[,;\s]+", value)
    return [part.strip() for part in divided if part.strip()]


def named_entry(value: Any, where: str, role: str) -> Entry:
    """Return an entry given as an id, a number, or an object.

    Raises:
        BadRow: it is something else, an object that names no document, or holds a NUL character.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise _nul(where, role)
        return Entry(id=value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return Entry(id=str(value))
    if isinstance(value, dict):
        id = _first(value, _IDS)
        position = _first(value, _POSITIONS)
        text = " ".join(str(t) for t in (value.get("title"), _first(value, _TEXTS)) if t)
        name = next((name for name in _DWELLS if value.get(name) is not None), "")
        entry = Entry(
            id="" if id is None else str(id).strip(),
            text=text.strip(),
            position=None if position is None else _whole(position, where, role),
            dwell=as_dwell(value.get(name), where, name) if name else None,
        )
        if "\0" in entry.id + entry.text:
            raise _nul(where, role)
        if entry.id or entry.position is not None:
            return entry
    raise BadRow(
        "not an id",
        f"{where}: expected an id, a number or an object with one of {', '.join(_IDS)} "
        f"in {role}, found {value!r:.60}. Correct the row or remove it.",
    )


def as_text(row: Row, column: str | None) -> str:
    """Return a cell as text, without the spaces around it; "" where there is none.

    Raises:
        BadRow: it is a list or an object, or holds a NUL character.
    """
    value = row.values.get(column or "")
    if isinstance(value, list | dict):
        raise BadRow(
            "not a text",
            f"{row.where}: expected plain text in {column!r}, found {type(value).__name__} "
            f"{value!r:.60}. Correct the row, or name another column.",
        )
    text = "" if value is None else str(value).strip()
    if "\0" in text:
        raise _nul(row.where, column or "")
    return text


def as_whole(row: Row, column: str | None) -> int:
    """Return a cell as a whole number of 0 or more.

    Raises:
        BadRow: it is none.
    """
    return _whole(row.values.get(column or ""), row.where, column or "")


def as_clicked(row: Row, column: str | None) -> bool:
    """Tell whether a cell says that there was a click: a truth, a count, or the event's name.

    Raises:
        BadRow: it says neither.
    """
    value = row.values.get(column or "")
    word = "" if value is None else str(value).strip().casefold()
    if word in _YES | _NO:
        return word in _YES
    try:
        count = math.nan if value is None or isinstance(value, list | dict) else float(value)
    except (OverflowError, TypeError, ValueError):
        count = math.nan
    if math.isfinite(count) and count >= 0:
        return count > 0
    raise BadRow(
        "broken click",
        f"{row.where}: expected 0 or 1, true or false, click or impression in {column!r}, found "
        f"{value!r:.60}. Correct the row, or name another column with clicked=...",
    )


def says_click(row: Row, column: str | None) -> bool:
    """Tell whether a cell names the event of a click, and is not just the 1 of an impression."""
    return str(row.values.get(column or "")).strip().casefold() in _CLICK


def as_dwell(value: Any, where: str, name: str) -> float | None:
    """Return a time spent, in seconds; None where it is not known.

    Raises:
        BadRow: it is no number of 0 or more.
    """
    if value is None or value == "":
        return None
    try:
        seconds = math.nan if isinstance(value, bool | list | dict) else float(value)
    except (OverflowError, TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise BadRow(
            "broken dwell",
            f"{where}: expected seconds of 0 or more as {name!r}, found {value!r:.60}. "
            "Correct the row, or leave it empty where it is not known.",
        )
    return seconds / 1000 if name.casefold().endswith("_ms") else seconds


def as_time(row: Row, column: str | None) -> float | None:
    """Return a time in seconds since 1970; one without a zone is taken as UTC.

    Eight digits such as 20240131 are a day: as seconds they would lie in 1970.

    Raises:
        BadRow: it is neither ISO 8601 nor a number, or before 1970 or after 9999.
    """
    value = row.values.get(column or "")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = _parsed(value.strip())
    elif isinstance(value, int) and _DAY.fullmatch(str(value)):
        value = _parsed(str(value))
    seconds = _seconds(value)
    if 0 <= seconds <= _LATEST:
        return seconds
    raise BadRow(
        "broken time",
        f"{row.where}: expected a time in {column!r} (2024-01-31T12:00:00Z, or seconds since "
        f"1970), found {row.values.get(column or '')!r:.60}. Correct the row or leave it empty.",
    )


def _parsed(text: str) -> datetime.datetime | float | None:
    if not _DAY.fullmatch(text):
        try:
            return float(text)
        except ValueError:
            pass
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def _seconds(value: Any) -> float:
    """Return seconds since 1970, or NaN for what is no time."""
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time(), datetime.UTC).timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        size = abs(value)
        if size > _LATEST * 1e6:
            return math.nan  # and too large a whole number to divide, perhaps
        return value / (1e6 if size > _MICROSECONDS else 1e3 if size > _MILLISECONDS else 1)
    return math.nan


def _nul(where: str, column: str) -> BadRow:
    return BadRow(
        "NUL byte",
        f"{where}: the text in {column!r} holds a NUL character, which is no text. "
        "Remove the character or the row.",
    )


def _first(value: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if value.get(name) not in (None, "")), None)


def _whole(value: Any, where: str, role: str) -> int:
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0 and number == int(number)):
        raise BadRow(
            "broken position",
            f"{where}: expected a whole number of 0 or more as position in {role!r}, found "
            f"{value!r:.60}. Correct the row or remove it.",
        )
    return int(number)
