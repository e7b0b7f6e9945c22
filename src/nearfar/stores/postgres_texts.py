"""What PostgreSQL cannot hold as it stands, in a form that it can, and back."""

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from nearfar.records import Scalar

# Each in the place of two: a sign that comes before, and one that says which it was. The pairs
# stand in the order of what they stand for, so texts compare as they did.
_LOW, _HIGH = "\x01", "\ud7ff"  # U+D7FF is no character, and the last one before the halves
_AWAY = re.compile("[\x00\x01\ud7ff-\udfff]")
_BACK = re.compile("[\x01\ud7ff].", re.DOTALL)
_HALVES = 0xD800


def storable(text: str) -> str:
    r"""Return a text without NUL and without halves of characters; no two texts become one.

    Nearly every text stays as it is, and their order by characters is kept.

    >>> storable("plain"), storable("a\0b")
    ('plain', 'a\x01\x01b')
    """
    return _AWAY.sub(_away, text)


def restored(text: str) -> str:
    """Return the text that became this one by `storable`."""
    return _BACK.sub(_back, text)


def _away(found: re.Match[str]) -> str:
    sign = found[0]
    if sign in "\x00\x01":
        return _LOW + chr(ord(sign) + 1)
    return _HIGH + (chr(1) if sign == _HIGH else chr(ord(sign) - _HALVES + 2))


def _back(found: re.Match[str]) -> str:
    which = ord(found[0][1])
    if found[0][0] == _LOW:
        return chr(which - 1)
    return _HIGH if which == 1 else chr(which + _HALVES - 2)


def fields_json(fields: Mapping[str, Scalar]) -> str:
    """Return fields as JSON that says each value exactly.

    For a column of the type json, which keeps the letters: jsonb makes 1e300 a whole number, and
    takes no NUL. JSON has no infinity, but a number beyond all floats; null stands for NaN.
    """
    return f"{{{', '.join(f'{json.dumps(n)}: {_said(v)}' for n, v in fields.items())}}}"


def fields_of(read: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the fields that `fields_json` wrote, as they were read from JSON."""
    return {name: math.nan if value is None else value for name, value in read.items()}


def _said(value: Scalar) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else "1e999" if value > 0 else "-1e999"
    return json.dumps(value)


@lru_cache(maxsize=1 << 16)
def word_number(word: str) -> int:
    """Return the number that stands for a word: 64 bits of its hash.

    A word may be longer than what an index of PostgreSQL takes, a number never is. That any two
    of ten million words share one has a chance of 3 in a million.
    """
    spelled = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(spelled, digest_size=8).digest(), "big", signed=True)
