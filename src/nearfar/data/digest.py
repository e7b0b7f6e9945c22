"""The digest of a dataset: that of the canonical JSON of its rows, written by hand for speed.

Every row of every table goes through here, so the general encoder would be a third of the time
that an import takes. The tests hold this one to `nearfar.fingerprint.canonical_json`.
"""

import hashlib
import math
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quoted

from nearfar.errors import BadRecord
from nearfar.fingerprint import MultisetDigest
from nearfar.records import Document, Query, Scalar


class RowsDigest(MultisetDigest):
    """A digest of many rows that does not depend on their order."""

    def add_json(self, row: str) -> None:
        """Count one more row, given as its canonical JSON."""
        digest = hashlib.sha256(row.encode()).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 256)


def text_json(table: str, text: Document | Query) -> str:
    """Return the canonical JSON of [table, row], where the row is a document or a query.

    Raises:
        BadRecord: a field is infinite or not a number.
    """
    own = {"content": text.content, "group": text.group, "id": text.id, "source": text.source}
    if not text.fields:
        columns: Iterable[str] = (f'"{name}":{quoted(value)}' for name, value in own.items())
    else:
        row = {**own, **text.fields}
        columns = (f"{quoted(name)}:{_scalar(row[name], name, text)}" for name in sorted(row))
    return f'["{table}",{{{",".join(columns)}}}]'


def judgment_json(
    query_id: str, document_id: str, grade: float | None, split: str, origin: tuple[str, ...],
    score: float | None,
) -> str:  # fmt: skip
    """Return the canonical JSON of ["judgments", row].

    Args:
        query_id: of the row.
        document_id: of the row.
        grade: of the row; finite, or None.
        split: of the row.
        origin: its kind, source, by, at and facts.
        score: of the row; finite, or None.
    """
    kind, source, by, at, facts = origin
    return (
        f'["judgments",{{"document_id":{quoted(document_id)},"grade":{_number(grade)},'
        f'"origin_at":{quoted(at)},"origin_by":{quoted(by)},"origin_facts":{quoted(facts)},'
        f'"origin_kind":{quoted(kind)},"origin_source":{quoted(source)},'
        f'"query_id":{quoted(query_id)},"score":{_number(score)},'
        f'"split":{quoted(split)}}}]'
    )


def _number(number: float | None) -> str:
    return "null" if number is None else repr(number)


def _scalar(value: Scalar, name: str, text: Document | Query) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRecord(
            f"{text.source or text.id}: the field {name!r} is {value}, which is no value to "
            "compare by. Correct it or leave it out."
        )
    return repr(value)
