"""By which fields a search is narrowed: conditions, read from what people write, and checked."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from nearfar.errors import BadSetting
from nearfar.records import Scalar

Sign = Literal["=", "!=", "<", "<=", ">", ">="]
HOLDS: dict[Sign, Callable[[Scalar, Scalar], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
# Longest first: "<=" is not "<" and a value that begins with "=".
_SIGNS: tuple[Sign, ...] = ("!=", "<=", ">=", "=", "<", ">")
_TRUTHS = {"true": True, "false": False}
_WHOLE = range(-(2**63), 2**63)  # what a column of integers holds, in every kind of store
_SEVERAL = ("=", "!=")


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold of a field; a document without the field never matches.

    Several values stand for any of them with "=", and for none of them with "!=".
    """

    field: str
    sign: Sign
    values: tuple[Scalar, ...]  # one, but for "=" and "!="


Where = tuple[Condition, ...]


def read_where(texts: Iterable[str], kinds: Mapping[str, str]) -> Where:
    """Return conditions from texts such as "lang=de", "lang=de|en", "year>=2020".

    Args:
        texts: what people wrote, one condition each.
        kinds: of the fields that can be asked for: text, integer, number or truth.

    Raises:
        BadSetting: a text is no condition, or names no field, or a value of another kind.
    """
    return checked((_read(text, kinds) for text in texts), kinds)


def checked(where: Iterable[Condition], kinds: Mapping[str, str]) -> Where:
    """Return conditions with values of the fields' own kinds: an integer may stand for a number.

    Raises:
        BadSetting: a field is none of the layout; a value is of another kind, not finite, no
            text, or beyond 64 bits; or a condition has no value, or several where one can be.
    """
    return tuple(_checked(one, kinds) for one in where)


def _checked(one: Condition, kinds: Mapping[str, str]) -> Condition:
    values = tuple(_of_kind(one.field, value, kinds) for value in one.values)
    if one.sign not in HOLDS:
        raise BadSetting(
            f"{one.sign!r} is no sign of a condition on the field {one.field!r}. There are: "
            f"{' '.join(HOLDS)}."
        )
    if not values or (len(values) > 1 and one.sign not in _SEVERAL):
        raise BadSetting(
            f"The condition on the field {one.field!r} has {len(values)} values: expected one, or "
            f"with {' and '.join(_SEVERAL)} one or more."
        )
    return Condition(one.field, one.sign, values)


def fits(value: object, kind: str) -> bool:
    """Return whether a value can stand in a field of that kind: text, integer, number or truth.

    A number is finite, and may be whole; an integer has at most 64 bits; a text no half of a
    surrogate pair.
    """
    if isinstance(value, bool) or kind == "truth":
        return isinstance(value, bool) and kind == "truth"
    if isinstance(value, str) or kind == "text":
        return isinstance(value, str) and kind == "text" and _is_text(value)
    if kind == "integer":
        return isinstance(value, int) and value in _WHOLE
    return isinstance(value, int | float) and _is_finite(value)


def matches(where: Where, fields: Mapping[str, Scalar]) -> bool:
    """Return whether all conditions hold; they were `checked` against the kinds of the fields."""
    return all(_matches(one, fields.get(one.field)) for one in where)


def _matches(condition: Condition, value: Scalar | None) -> bool:
    if value is None:
        return False
    if isinstance(condition.values[0], float):  # as it stands in a column of numbers
        value = float(value)
    held = (HOLDS[condition.sign](value, other) for other in condition.values)
    return all(held) if condition.sign == "!=" else any(held)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no document holds
        return False
    return True


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _read(text: str, kinds: Mapping[str, str]) -> Condition:
    places = [(text.find(sign), -len(sign), sign) for sign in _SIGNS if sign in text]
    if not places or min(places)[0] < 1:
        raise BadSetting(
            f"{text!r} is no condition: expected a field, one of {' '.join(_SIGNS)}, and a value, "
            "such as lang=de, lang=de|en or year>=2020."
        )
    at, _, sign = min(places)
    name, said = text[:at].strip(), text[at + len(sign) :].strip()
    several = said.split("|") if sign in _SEVERAL else [said]
    return Condition(name, sign, tuple(_value(name, one.strip(), kinds) for one in several))


def _value(name: str, text: str, kinds: Mapping[str, str]) -> Scalar:
    kind = kinds.get(name, "text")
    try:
        if kind == "truth":
            return _TRUTHS[text.lower()]
        if kind == "integer":
            return int(text)
        return float(text) if kind == "number" else text
    except (ValueError, KeyError) as error:
        raise _other_kind(name, kind, text) from error


def _of_kind(name: str, value: Scalar, kinds: Mapping[str, str]) -> Scalar:
    if name not in kinds:
        known = ", ".join(sorted(kinds)) or "none, the index was made without"
        raise BadSetting(
            f"{name!r} is no field that a search can be narrowed by. There are: {known}."
        )
    kind = kinds[name]
    if not fits(value, kind):
        raise _other_kind(name, kind, value)
    return float(value) if kind == "number" else value


def _other_kind(name: str, kind: str, value: object) -> BadSetting:
    return BadSetting(
        f"The field {name!r} holds {kind} values, and {str(value)[:80]!a} is none. Give a value "
        "of its kind."
    )
