"""What the setting `evaluation.cohorts` asks for, as far as it can be read without data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.errors import BadSetting
from nearfar.evaluation.conditions import Condition
from nearfar.evaluation.expressions import parse

KEY = "evaluation.cohorts"
CROSS = " & "
FIELDS, DERIVED_ONES = "fields", "derived"  # all of them
_NAMED = re.compile(r"([^\W\d][\w-]*)\s*=(?!=)\s*(.+)", re.DOTALL)
_BARE = re.compile(r"`[^`]+`|[^\W\d][^&|=<>!()\[\]\"'`,]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of the setting: a field, a crossing of several, or a condition."""

    name: str
    crossed: tuple[str, ...] = ()
    condition: Condition | None = None


def read_wanted(wanted: Sequence[str], *, key: str = KEY) -> tuple[Wanted, ...]:
    """Read the entries of the setting, as far as that goes without the data.

    Raises:
        BadSetting: one is no expression, or two have the same name.
    """
    found: dict[str, Wanted] = {}
    for text in wanted:
        try:
            one = _read(text)
        except BadSetting as error:
            raise BadSetting(f"{key}: {error}") from error
        if one.name in found:
            raise BadSetting(f"{key}: {one.name!r} is there twice. Leave one out, or rename it.")
        found[one.name] = one
    return tuple(found.values())


def _read(text: str) -> Wanted:
    text = text.strip()
    if named := _NAMED.fullmatch(text):
        if named[1] in (FIELDS, DERIVED_ONES):
            raise BadSetting(f"{named[1]!r} stands for all of them. Choose another name.")
        return Wanted(named[1], condition=parse(named[2]))
    parts = [part.strip() for part in text.split("&")]
    if all(_BARE.fullmatch(part) and not _is_condition(part) for part in parts):
        names = tuple(part.strip("`") for part in parts)
        return Wanted(CROSS.join(names), crossed=names if len(names) > 1 else ())
    return Wanted(" ".join(text.split()), condition=parse(text))


def _is_condition(part: str) -> bool:
    """Whether several words are an expression, such as "not query.x": a field may have spaces."""
    if " " not in part or part.startswith("`"):
        return False
    try:
        parse(part)
    except BadSetting:
        return False
    return True
