"""Which column of a table holds the query, the answer and the rest: named, or guessed."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nearfar.errors import BadRecord

# In order of preference. Not guessed on purpose: premise and hypothesis, whose label is no grade.
_USUAL = {
    "query": "query question anchor sentence1 sentence_1 sentence_a text1 text_1 left title",
    "document": (
        "document positive pos answer passage context response sentence2 sentence_2 sentence_b "
        "text2 text_2 right body abstract content text"
    ),
    "grade": "grade score label relevance similarity similarity_score",
    "query_id": "query_id qid question_id",
    "document_id": "document_id doc_id docid corpus_id passage_id",
    "group": "group group_id",
    "split": "split",
}
_NEGATIVE = re.compile(r"(hard_)?neg(ative)?s?(_?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The names of the columns to read. None means: guess it; "" or () means: there is none."""

    query: str | None = None
    document: str | None = None
    negative: tuple[str, ...] | None = None
    grade: str | None = None
    query_id: str | None = None
    document_id: str | None = None
    group: str | None = None
    split: str | None = None
    fields: tuple[str, ...] | None = None  # None: every other column with plain values

    @property
    def used(self) -> set[str]:
        """Return the columns that hold something else than a field."""
        single = (getattr(self, role) for role in _USUAL)
        return {*filter(None, single), *(self.negative or ())}


def choose_columns(found: Sequence[str], wanted: Columns, where: str) -> tuple[Columns, str]:
    """Return the columns to read and, if any was guessed, a sentence that says which.

    Args:
        found: the names of the columns there are, in order.
        wanted: what the user named; the rest is guessed from the usual names.
        where: file and line of the header or first row, for the message.

    Raises:
        BadRecord: a column that was named is not there, or no name looks like one that is needed.
    """
    _require_named(found, wanted, where)
    chosen: dict[str, str] = {}
    for role in _USUAL:
        named = getattr(wanted, role)
        chosen[role] = _guess(role, found, chosen) if named is None else named
    for role in ("query", "document"):
        if not chosen[role]:
            raise BadRecord(
                f"{where}: no column looks like the {role}. Found: {', '.join(found) or 'none'}. "
                f"Name it with {role}=...; guessed are {_USUAL[role].replace(' ', ', ')}."
            )
    negative = wanted.negative
    if negative is None:
        negative = tuple(name for name in found if _NEGATIVE.fullmatch(_plain(name)))
    columns = Columns(**chosen, negative=negative, fields=wanted.fields)
    if columns.fields is None:
        rest = tuple(name for name in found if name not in columns.used)
        columns = replace(columns, fields=rest)
    return columns, _sentence(columns, wanted)


def _guess(role: str, found: Sequence[str], chosen: dict[str, str]) -> str:
    free = {_plain(name): name for name in reversed(found) if name not in chosen.values()}
    return next((free[usual] for usual in _USUAL[role].split() if usual in free), "")


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def _require_named(found: Sequence[str], wanted: Columns, where: str) -> None:
    for role in (*_USUAL, "negative", "fields"):
        named = getattr(wanted, role) or ()
        for name in [named] if isinstance(named, str) else named:
            if name not in found:
                raise BadRecord(
                    f"{where}: there is no column {name!r}, named as {role}. "
                    f"Found: {', '.join(found) or 'none'}.{_nearest(name, found)}"
                )


def _nearest(name: str, found: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, found, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _sentence(columns: Columns, wanted: Columns) -> str:
    said = []
    for role in ("query", "document", "negative", "grade", "query_id", "document_id", "group"):
        said += _as(getattr(columns, role), role, getattr(wanted, role) is None)
    said += _as(columns.split, "split", wanted.split is None)
    if not said:
        return ""
    rest = f" Fields: {', '.join(columns.fields)}." if columns.fields else ""
    return f"Guessed from the names of the columns: {', '.join(said)}.{rest}"


def _as(names: str | Sequence[str] | None, role: str, guessed: bool) -> list[str]:
    if not names or not guessed:
        return []
    listed = names if isinstance(names, str) else " and ".join(names)
    return [f"{listed} is the {role.replace('_', ' ')}" if listed != role else f"{listed}"]
