"""Queries from a log, one JSON object a line, that could be labelled."""

from collections.abc import Iterator
from pathlib import Path

from nearfar.data.lines import json_lines
from nearfar.errors import BadRecord
from nearfar.fingerprint import content_id
from nearfar.records import Query

_TEXTS = ("query", "content", "text")
_GROUPS = ("group", "session", "session_id")


def read_logged(path: Path) -> Iterator[Query]:
    """Yield the queries of a log; further keys with a text or a number become fields.

    The text stands in `query`, `content` or `text`; `id` is its hash where there is none; a
    `group` or `session` says what is not independent.

    Raises:
        BadFile: the file cannot be read.
        BadRecord: a line is no object, or has no text.
    """
    for number, row in json_lines(path):
        name = next((key for key in _TEXTS if key in row), "")
        content = row.pop(name, None)
        if not isinstance(content, str) or not content.strip():
            raise BadRecord(
                f"{path}:{number}: expected a text in {', '.join(_TEXTS)}, found {content!r}. "
                "Correct the line or remove it."
            )
        group = next((str(row.pop(key)) for key in _GROUPS if row.get(key) is not None), "")
        given = row.pop("id", None)
        id_ = content_id(content) if given in (None, "") else str(given)
        fields = {key: one for key, one in row.items() if isinstance(one, str | int | float)}
        yield Query(id=id_, content=content, group=group, source=f"{path.name}:{number}",
                    fields=fields)  # fmt: skip
