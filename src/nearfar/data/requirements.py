"""What every record must keep to before it is written."""

import math

from nearfar.data.known import Table
from nearfar.data.rejects import BadRow
from nearfar.data.spool import short_hash
from nearfar.records import Document, Judgment, Query

_ONE = {"documents": "document", "queries": "query"}


def require_text(table: Table, text: Document | Query) -> None:
    """Make sure that a text has an id and something to read.

    Raises:
        BadRecord: it does not.
    """
    kind = _ONE[table]
    if not text.id:
        raise BadRow(
            "bad id", f"{text.source}: the {kind} has an empty id. Give it one, or none at all."
        )
    if not text.content or text.content.isspace():
        raise BadRow(
            "empty text",
            f"{text.source}: the {kind} {text.id!r} has no text. Fill it in or remove the line.",
        )


def hash_of(judgment: Judgment) -> bytes:
    """Return a hash of what a judgment says, whoever says it.

    Raises:
        BadRecord: its grade is negative, or not a number though nothing scored it, or its score
            is not a number.
    """
    scored_alone = math.isnan(judgment.grade) and judgment.score is not None
    if not scored_alone and not (math.isfinite(judgment.grade) and judgment.grade >= 0):
        raise BadRow(
            "bad grade",
            f"{judgment.origin.source}: a grade must be a number of 0 or more, got "
            f"{judgment.grade} for query {judgment.query_id!r} and document "
            f"{judgment.document_id!r}. Correct it or remove the line.",
        )
    if judgment.score is not None and not math.isfinite(judgment.score):
        raise BadRow(
            "bad score",
            f"{judgment.origin.source}: a teacher's score must be a number, got "
            f"{judgment.score} for query {judgment.query_id!r} and document "
            f"{judgment.document_id!r}. Correct it, or leave it out.",
        )
    return short_hash(
        f"{len(judgment.query_id)} {judgment.query_id} {judgment.document_id} "
        f"{judgment.grade!r} {judgment.split} {judgment.score!r}"
    )


def two_texts(table: Table, text: Document | Query, first: str) -> BadRow:
    """Return what is wrong with a text whose id names another one."""
    return BadRow(
        "id of another text",
        f"{text.source}: id {text.id!r} already names another text in {table}{first}; here it "
        f"is {short(text.content)!r}. "
        "Give each text its own id, or leave ids out and let the text name itself.",
    )


def short(text: str) -> str:
    """Return a text or its beginning."""
    return text if len(text) <= 60 else text[:57] + "..."
