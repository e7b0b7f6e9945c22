"""Which column of a table holds the query, the answer and the rest: named, or guessed."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nearfar.errors import BadRecord

# In order of preference. Not guessed on purpose: premise and hypothesis, whose label is no grade
# (they are the columns of the kind `nli`).
USUAL: Mapping[str, str] = {
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
    "label": "",  # only some kinds have one
    "language": "",
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
    label: str | None = None  # nli: the verdict; labels: the intent; tickets: whether it is solved
    language: str | None = None  # translations: of the text, or of the document
    fields: tuple[str, ...] | None = None  # None: every other column with plain values

    @property
    def used(self) -> set[str]:
        """Return the columns that hold something else than a field."""
        single = (getattr(self, role) for role in USUAL)
        return {*filter(None, single), *(self.negative or ())}


def choose_columns(
    found: Sequence[str],
    wanted: Columns,
    where: str,
    usual: Mapping[str, str] | None = None,
    needed: Sequence[str] = ("query", "document"),
) -> tuple[Columns, str]:
    """Return the columns to read and, if any was guessed, a sentence that says which.

    Args:
        found: the names of the columns there are, in order.
        wanted: what the user named; the rest is guessed from the usual names.
        where: file and line of the header or first row, for the message.
        usual: the names of each role that are guessed, in order of preference, where a kind of
            source has others than most; "" means that a role is not guessed.
        needed: the roles that must be found.

    Raises:
        BadRecord: a column that was named is not there, or no name looks like one that is needed.
    """
    _require_named(found, wanted, where)
    names = {**USUAL, **(usual or {})}
    chosen = {role: getattr(wanted, role) or "" for role in USUAL}
    for role in USUAL:
        if getattr(wanted, role) is None:
            chosen[role] = _guess(names[role], found, chosen)
    for role in needed:
        if not chosen[role]:
            raise BadRecord(
                f"{where}: no column looks like the {role}. Found: {', '.join(found) or 'none'}. "
                f"Name it with {role}=...; guessed are {names[role].replace(' ', ', ')}."
            )
    negative = wanted.negative
    if negative is None:
        negative = tuple(name for name in found if _NEGATIVE.fullmatch(_plain(name)))
    columns = Columns(**chosen, negative=negative, fields=wanted.fields)
    if columns.fields is None:
        rest = tuple(name for name in found if name not in columns.used)
        columns = replace(columns, fields=rest)
    return columns, _sentence(columns, wanted)


def _guess(usual: str, found: Sequence[str], chosen: dict[str, str]) -> str:
    free = {_plain(name): name for name in reversed(found) if name not in chosen.values()}
    return next((free[name] for name in usual.split() if name in free), "")


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def _require_named(found: Sequence[str], wanted: Columns, where: str) -> None:
    for role in (*USUAL, "negative", "fields"):
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
    for role in dict.fromkeys(("query", "document", "negative", *USUAL)):
        said += _as(getattr(columns, role), role, getattr(wanted, role) is None)
    if not said:
        return ""
    rest = f" Fields: {', '.join(columns.fields)}." if columns.fields else ""
    return f"Guessed from the names of the columns: {', '.join(said)}.{rest}"


def _as(names: str | Sequence[str] | None, role: str, guessed: bool) -> list[str]:
    if not names or not guessed:
        return []
    listed = names if isinstance(names, str) else " and ".join(names)
    return [f"{listed} is the {role.replace('_', ' ')}" if listed != role else f"{listed}"]
