"""By which fields a search is narrowed: conditions, read from what people write, and checked."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from nearfar.errors import BadSetting
from nearfar.records import Scalar

Sign = Literal["=", "!=", "<", "<=", ">", ">="]
_HOLDS: dict[Sign, Callable[[Scalar, Scalar], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
# Longest first: "<=" is not "<" and a value that begins with "=".
_SIGNS: tuple[Sign, ...] = ("!=", "<=", ">=", "=", "<", ">")
_TRUTHS = {"true": True, "false": False}


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
        BadSetting: a field is none of the layout, or a value of another kind, or not finite.
    """
    return tuple(
        Condition(one.field, one.sign, tuple(_of_kind(one.field, v, kinds) for v in one.values))
        for one in where
    )


def matches(where: Where, fields: Mapping[str, Scalar]) -> bool:
    """Return whether all conditions hold; they were `checked` against the kinds of the fields."""
    return all(_matches(one, fields.get(one.field)) for one in where)


def _matches(condition: Condition, value: Scalar | None) -> bool:
    if value is None:
        return False
    held = (_HOLDS[condition.sign](value, other) for other in condition.values)
    return all(held) if condition.sign == "!=" else any(held)


def _read(text: str, kinds: Mapping[str, str]) -> Condition:
    places = [(text.find(sign), -len(sign), sign) for sign in _SIGNS if sign in text]
    if not places or min(places)[0] < 1:
        raise BadSetting(
            f"{text!r} is no condition: expected a field, one of {' '.join(_SIGNS)}, and a value, "
            "such as lang=de, lang=de|en or year>=2020."
        )
    at, _, sign = min(places)
    name, said = text[:at].strip(), text[at + len(sign) :].strip()
    several = said.split("|") if sign in ("=", "!=") else [said]
    return Condition(name, sign, tuple(_value(name, one, kinds) for one in several))


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
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "text": isinstance(value, str),
        "truth": isinstance(value, bool),
        "integer": number and isinstance(value, int),
        "number": number and math.isfinite(value),  # type: ignore[arg-type]
    }[kind]
    if not fits:
        raise _other_kind(name, kind, value)
    return float(value) if kind == "number" else value


def _other_kind(name: str, kind: str, value: object) -> BadSetting:
    return BadSetting(f"The field {name!r} holds {kind} values, and {value!r} is none.")
