"""Which values of a row become fields, the cohorts of a record, and under what name."""

import datetime
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

from nearfar.data.notes import Notes
from nearfar.data.tables import TEXT_COLUMNS
from nearfar.records import Scalar

_INT64 = 1 << 63


def scalar_fields(
    row: Mapping[str, Any], *, without: AbstractSet[str], notes: Notes
) -> dict[str, Scalar]:
    """Return the plain values of a row by name; lists and objects are counted and left out.

    What is null, empty or not a number says nothing about a record and is passed over. A
    name that every record has already (id, content, group, source) gets `field_` in front.
    """
    fields: dict[str, Scalar] = {}
    for name, value in row.items():
        if name in without or not name or _says_nothing(value):
            continue
        plain = _plain(value)
        if plain is None:
            notes.left_out[f"values of {name!r} (a list or an object is not a field)"] += 1
            continue
        if name in TEXT_COLUMNS:
            notes.say(f"The field {name!r} is called 'field_{name}' here: the name is taken.")
            name = f"field_{name}"
        fields.setdefault(name, plain)
    return fields


def _says_nothing(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return value is None or (isinstance(value, str | list | dict) and not value)


def _plain(value: Any) -> Scalar | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, str | float | bool):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else None
