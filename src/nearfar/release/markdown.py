"""Texts of other people in Markdown: shown as they are, never read as markup."""

import re
from collections.abc import Iterable, Iterator, Sequence

from nearfar.evaluation.measure import NOTHING

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$!&])")
_PLAIN = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/+-]*")


def plain(text: object) -> str:
    r"""Return a text in one line that is shown to the letter, in a table too.

    >>> plain("a|b\n# <b>")
    'a\\|b \\# \\<b\\>'
    """
    return _MARKUP.sub(r"\\\1", line(text))


def line(text: object) -> str:
    """Return a text in one line, without the signs that turn writing around or are not seen."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())


def code(text: object) -> str:
    """Return a name, a digest or a number as code; anything else as `plain` does."""
    said = str(text)
    return f"`{said}`" if _PLAIN.fullmatch(said) else plain(said)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; heads that begin with ">" stand to the right.

    Cells must be safe already.
    """
    yield f"| {' | '.join(head.removeprefix('>') for head in heads)} |"
    yield f"|{'|'.join('--:' if head.startswith('>') else '---' for head in heads)}|"
    for row in rows:
        yield f"| {' | '.join(cell or NOTHING for cell in row)} |"
