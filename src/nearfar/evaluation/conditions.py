"""What an expression about cohorts means: whether it holds, query by query."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nearfar.errors import BadSetting
from nearfar.records import Scalar

Column = Sequence[Scalar | None]  # of each query; None: it has no such field

ORDERS: dict[str, Callable[..., bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_DATE = re.compile(r"\d{4}-\d{2}(?:-\d{2}(?:[T ].*)?)?")


@dataclass(frozen=True, slots=True)
class Name:
    """A field, by its name."""

    name: str


Operand = Name | Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values held against each other; a name alone is compared with true."""

    left: Operand
    sign: str
    right: Operand


@dataclass(frozen=True, slots=True)
class Joined:
    """Several conditions: all must hold ("and"), or one ("or")."""

    word: str
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Denied:
    """What holds where its part does not."""

    part: "Condition"


Condition = Comparison | Joined | Denied


def is_date(value: object) -> bool:
    """Whether it is a date as ISO 8601 writes it, at least year and month: such sort as text."""
    return isinstance(value, str) and _DATE.fullmatch(value) is not None


def names_in(condition: Condition) -> Iterator[str]:
    """Yield the names of all fields that it looks at."""
    match condition:
        case Comparison(left, _, right):
            yield from (side.name for side in (left, right) if isinstance(side, Name))
        case Joined(_, parts):
            for part in parts:
                yield from names_in(part)
        case Denied(part):
            yield from names_in(part)


def holds(condition: Condition, columns: Callable[[str], Column], count: int) -> list[bool]:
    """Return whether it holds, query by query.

    A query without the field is equal to nothing, so `!=` and `not in` hold of it, and no other
    comparison does.

    Args:
        condition: from `parse`.
        columns: from the name of a field to its values.
        count: how many queries there are.

    Raises:
        BadSetting: values of unlike kinds are compared, such as a number and a text; names them.
    """
    match condition:
        case Comparison(left, sign, right):
            sides = [_values(side, columns, count) for side in (left, right)]
            named = left if isinstance(left, Name) else right
            assert isinstance(named, Name), "an expression compares a field"
            return [_holds(named, a, sign, b) for a, b in zip(*sides, strict=True)]
        case Joined(word, parts):
            together = all if word == "and" else any
            found = [holds(part, columns, count) for part in parts]
            return [together(row) for row in zip(*found, strict=True)]
        case Denied(part):
            return [not held for held in holds(part, columns, count)]


def _values(side: Operand, columns: Callable[[str], Column], count: int) -> Sequence[object]:
    return columns(side.name) if isinstance(side, Name) else [side] * count


def _holds(named: Name, a: object, sign: str, b: object) -> bool:
    if a is None or b is None:
        return sign in ("!=", "not in")
    if sign in ("in", "not in"):
        return _is_in(named, a, b) == (sign == "in")
    _require_alike(named, a, b)
    if sign in ("==", "!="):
        return (a == b) == (sign == "==")
    if is_date(a) != is_date(b):
        raise BadSetting(
            f"{named.name}: {a!r} and {b!r} cannot be put in order, since one alone is a date. "
            "Dates are written as in 2025-01-31; import the field again in that form."
        )
    return ORDERS[sign](a, b)


def _is_in(named: Name, a: object, b: object) -> bool:
    if isinstance(b, tuple):
        for one in b:
            _require_alike(named, a, one)
        return a in b
    for side in (a, b):
        if not isinstance(side, str):
            raise BadSetting(
                f"{named.name}: expected a text in a text, or a value in a list such as "
                f'["de", "fr"], found {side!r}.'
            )
    return str(a) in str(b)


def _require_alike(named: Name, a: object, b: object) -> None:
    if _kind(a) != _kind(b):
        raise BadSetting(
            f"{named.name}: {a!r} ({_kind(a)}) cannot be compared with {b!r} ({_kind(b)}). "
            "A text stands in quotes, a number does not, and true and false are neither."
        )


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "a number"
