"""How expressions about cohorts are written: comparisons joined by and, or, not. Nothing is run.

query.words >= 8
document.updated_at >= "2025-01-01"
query.language == "de" & document.kind == "faq"
not (query.language in ["de", "fr"] or "refund" in query.content)
"""

import re
from collections.abc import Callable, Iterator

from nearfar.errors import BadSetting
from nearfar.evaluation.conditions import (
    ORDERS,
    Comparison,
    Condition,
    Denied,
    Joined,
    Name,
    Operand,
)
from nearfar.records import Scalar

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<name>`[^`]+`|[^\W\d][\w-]*(?:\.[\w-]+)*)
      | (?P<sign>==|!=|<=|>=|[<>()\[\],&|!=])
    )""",
    re.VERBOSE,
)
_WORDS = {"&": "and", "|": "or", "!": "not"}
_OPERATORS = (*ORDERS, "==", "!=", "in", "not in")
_DEEPEST = 50  # brackets within brackets
_DIGITS = 18  # of a whole number that is kept as one


def parse(text: str) -> Condition:
    """Read an expression.

        condition    comparisons joined by `and`, `or`, `not` (or &, |, !) and round brackets
        comparison   value, then one of == != < <= > >= in `not in`, then a value; 2 <= x <= 8 too
        value        query.x, document.x, derived.x (a name with other signs than letters, digits,
                     _ and - stands in ``), "text", a number, true, false, or a list in []

    A field that is true or false can stand alone. `in` with a list: one of it; with a text: a part.

    Raises:
        BadSetting: it is no expression; says what was expected, and where.
    """
    return _Reader(text).whole()


class _Reader:
    """Reads one expression from left to right; `or` binds less than `and`, that less than `not`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut())
        self._next = 0
        self._depth = 0

    def _cut(self) -> Iterator[tuple[str, str, int]]:
        """Yield the kind, the text and the place of each token."""
        place, end = 0, len(self._text.rstrip())
        while place < end:
            found = _TOKEN.match(self._text, place)
            if found is None:
                rest = self._text[place:].strip()
                raise BadSetting(f"{self._text}: expected a field, a value or a sign at {rest!r}.")
            kind, place = found.lastgroup or "", found.end()
            token = found[kind]
            yield kind, _WORDS.get(token, token), found.start(kind)

    def whole(self) -> Condition:
        found = self._either()
        if self._next < len(self._tokens):
            raise self._expected("and, or, or the end")
        return found

    def _either(self) -> Condition:
        return self._joined("or", self._both)

    def _both(self) -> Condition:
        return self._joined("and", self._denied)

    def _joined(self, word: str, part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _denied(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadSetting(f"{self._text[:40]}...: more than {_DEEPEST} brackets or `not`s deep.")
        if self._take("not"):
            found: Condition = Denied(self._denied())
        elif self._take("("):
            found = self._either()
            if not self._take(")"):
                raise self._expected(")")
        else:
            found = self._comparisons()
        self._depth -= 1
        return found

    def _comparisons(self) -> Condition:
        left = self._value()
        parts: list[Condition] = []
        while (sign := self._sign()) is not None:
            right = self._value()
            if not isinstance(left, Name) and not isinstance(right, Name):
                raise BadSetting(f"{self._text}: {left!r} {sign} {right!r} looks at no field.")
            if isinstance(left, tuple) or (isinstance(right, tuple) and "in" not in sign):
                raise BadSetting(f"{self._text}: a list can only stand after `in`.")
            parts.append(Comparison(left, sign, right))
            left = right
        if not parts:
            if not isinstance(left, Name):
                raise self._expected(f"one of {', '.join(_OPERATORS)}")
            return Comparison(left, "==", True)
        return parts[0] if len(parts) == 1 else Joined("and", tuple(parts))

    def _sign(self) -> str | None:
        for sign in (*ORDERS, "==", "!=", "in"):
            if self._take(sign):
                return sign
        if self._peek() == "not":
            self._next += 1
            if not self._take("in"):
                raise self._expected("in")
            return "not in"
        if self._peek() == "=":
            raise BadSetting(f"{self._text}: values are compared with ==, not with =.")
        return None

    def _value(self) -> Operand:
        if self._take("["):
            values: list[Scalar] = []
            while not self._take("]"):
                one = None if self._peek() == "[" else self._value()
                if one is None or isinstance(one, Name | tuple):
                    raise BadSetting(f"{self._text}: a list holds texts and numbers alone.")
                values.append(one)
                if not self._take(",") and self._peek() != "]":
                    raise self._expected(", or ]")
            return tuple(values)
        kind, token = self._tokens[self._next][:2] if self._next < len(self._tokens) else ("", "")
        if kind in ("", "sign") or token in ("and", "or", "not", "in"):
            raise self._expected("a field such as query.words, or a value")
        self._next += 1
        if kind == "number":
            whole = token.lstrip("+-").isdigit() and len(token) <= _DIGITS
            return int(token) if whole else float(token)
        if kind == "text":
            return token[1:-1]
        if token in ("true", "false"):
            return token == "true"
        return Name(token.strip("`"))

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self, token: str) -> bool:
        if self._peek() != token:  # a text has its quotes still, and is no sign
            return False
        self._next += 1
        return True

    def _expected(self, what: str) -> BadSetting:
        if self._next == len(self._tokens):
            return BadSetting(f"{self._text}: expected {what}, found the end.")
        _, token, place = self._tokens[self._next]
        return BadSetting(
            f"{self._text}: expected {what} at character {place + 1}, found {token!r}."
        )
