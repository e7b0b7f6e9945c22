"""Texts that a spreadsheet would run: kept as data, counted, and escaped in CSV that we write.

A cell that begins with = + - @, a tab or a carriage return is a formula to Excel, LibreOffice
and Google Sheets, and may fetch a page or start a program. In Parquet it is harmless.

Source: OWASP, CSV Injection.
"""

import re

_SIGNS = "=+-@\t\r"
# A dash or a plus also begins a list item, a phone number or a telling-off: what makes it a
# formula is a call, a reference to a cell, or the pipe that names a program.
_FORMULA = re.compile(r"\s*(?:=\s*\S|[+\-@]\s*(?:[A-Za-z_.]+\d*\(|[A-Za-z]{1,3}\d+\b|[\w.]+\|))")


def looks_like_formula(text: str) -> bool:
    """Tell whether a spreadsheet would run a text.

    >>> [looks_like_formula(text) for text in ("=1+2", "+cmd|' /C calc'!A0", "- a point", "a = b")]
    [True, True, False, False]
    """
    return text[:1] in "=+-@" and bool(_FORMULA.match(text))


def csv_safe(text: str) -> str:
    """Return a text for a cell of CSV that no spreadsheet runs: a quotation mark goes before it.

    >>> csv_safe("=HYPERLINK(1)"), csv_safe("plain")
    ("'=HYPERLINK(1)", 'plain')
    """
    return f"'{text}" if text[:1] in _SIGNS and text else text
