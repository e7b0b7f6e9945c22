"""Which column of a search log holds what: named, or guessed from the usual names and said."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.errors import BadRecord, BadSetting

# In order of preference. A log has one row a page (shown, clicks) or one row an event
# (document, clicked): a column that looks like the shown list decides.
_USUAL = {
    "query": "query query_text search_query search_term search_terms search question keywords q",
    "shown": (
        "shown results ranking shown_ids document_ids doc_ids documents impressions displayed "
        "items hits serp"
    ),
    "clicks": "clicks clicked clicked_ids clicked_documents clicked_positions click",
    "document": "document document_id doc_id docid item_id item result_id result url",
    "position": "position rank pos slot",
    "clicked": "clicked click is_click is_clicked clicks event event_type action",
    "text": "document_text text content passage",
    "dwell": "dwell dwell_seconds dwell_ms dwell_time dwell_time_ms time_on_page",
    "time": "time timestamp ts datetime date created_at at",
    "session": "session session_id sessionid sid",
    "user": "user user_id userid uid visitor visitor_id client_id cookie_id person",
    "agent": "user_agent useragent agent ua",
}
_OF_PAGES = ("query", "shown", "clicks", "dwell", "time", "session", "user", "agent")
_OF_EVENTS = ("query", "document", "position", "clicked", *_OF_PAGES[3:], "text")
_NEEDED_OF_PAGES, _NEEDED_OF_EVENTS = ("query", "shown", "clicks"), (*_OF_EVENTS[:4],)

# Never kept as a field of a query: they name a person or a machine.
_PERSONAL = (
    "ip ip_address remote_addr client_ip x_forwarded_for email e_mail mail phone telephone mobile "
    "firstname lastname fullname surname username login account customer ipaddress emailaddress "
    "cookies token address street latitude longitude lat lon user userid uid visitor person "
    "session sessionid sid user_agent useragent agent ua"
)
_NAMES = frozenset(_PERSONAL.split())
_PARTS = {"ip", "email", "mail", "phone", "cookie", "name"}  # also within a name
_WITH_ID = {  # where another part of the name is "id"
    "user", "customer", "visitor", "client", "person", "member", "employee", "account", "device",
    "session",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickColumns:
    """The names of the columns to read. None means: guess it; "": there is none."""

    query: str | None = None
    shown: str | None = None  # a row is a page: the documents in the order they were shown
    clicks: str | None = None  # a row is a page: what was clicked
    document: str | None = None  # a row is an event: what was shown
    position: str | None = None  # a row is an event: where
    clicked: str | None = None  # a row is an event: whether it was clicked
    text: str | None = None  # a row is an event: the text of the document
    dwell: str | None = None  # seconds, or milliseconds where the name ends in _ms
    time: str | None = None  # ISO 8601, or seconds or milliseconds since 1970
    session: str | None = None
    user: str | None = None
    agent: str | None = None
    fields: tuple[str, ...] | None = None  # None: every other column with plain values
    first_position: int | None = None  # what the top is called, 0 or 1; None: guessed

    def __post_init__(self) -> None:
        if self.first_position not in (None, 0, 1):
            raise BadSetting(
                f"first_position is what a log calls the top of a page, 0 or 1, got "
                f"{self.first_position!r}."
            )

    @property
    def used(self) -> set[str]:
        """Return the columns that hold something else than a field."""
        return {name for role in _USUAL if (name := getattr(self, role))}


def choose_click_columns(
    found: Sequence[str], wanted: ClickColumns, where: str
) -> tuple[ClickColumns, str]:
    """Return the columns to read and, if any was guessed, a sentence that says which.

    Args:
        found: the names of the columns there are, in order.
        wanted: what the user named; the rest is guessed from the usual names.
        where: file and line of the header or first row, for the message.

    Raises:
        BadRecord: a column that was named is not there, or one that is needed is not found.
    """
    _require_named(found, wanted, where)
    pages = wanted.shown if wanted.shown is not None else _guess("shown", found, {})
    if wanted.document:
        pages = ""
    roles, needed = (_OF_PAGES, _NEEDED_OF_PAGES) if pages else (_OF_EVENTS, _NEEDED_OF_EVENTS)
    chosen = dict.fromkeys(_USUAL, "")
    for role in roles:
        named = getattr(wanted, role)
        chosen[role] = _guess(role, found, chosen) if named is None else named
    for role in needed:
        if not chosen[role]:
            raise BadRecord(_missing(role, found, where))
    columns = ClickColumns(**chosen, fields=wanted.fields, first_position=wanted.first_position)
    guessed = [
        f"{chosen[role]} is the {role}" if chosen[role] != role else role
        for role in roles
        if chosen[role] and getattr(wanted, role) is None
    ]
    kind = "one shown page" if pages else "one shown document"
    return columns, (
        f"A row is {kind}. Guessed from the names of the columns: {', '.join(guessed)}."
        if guessed
        else ""
    )


def plain_name(name: str) -> str:
    """Return a column's name as it is compared: small letters, underscores.

    >>> plain_name("docId"), plain_name("IPAddress"), plain_name("user-agent")
    ('doc_id', 'ip_address', 'user_agent')
    """
    divided = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"[-.\s]+", "_", divided.casefold())


def names_someone(name: str) -> bool:
    """Tell whether a column, by its name, names a person or a machine.

    Rather one column too many: a field that is asked for by name is kept all the same.

    >>> [names_someone(name) for name in ("customerName", "visitorId", "device", "category_id")]
    [True, True, False, False]
    """
    plain = plain_name(name)
    parts = set(plain.split("_"))
    if plain.endswith("id") and len(parts) == 1:  # visitorid
        parts = {plain.removesuffix("id"), "id"}
    return plain in _NAMES or bool(parts & _PARTS) or ("id" in parts and bool(parts & _WITH_ID))


def _guess(role: str, found: Sequence[str], chosen: dict[str, str]) -> str:
    free = {plain_name(name): name for name in reversed(found) if name not in chosen.values()}
    return next((free[usual] for usual in _USUAL[role].split() if usual in free), "")


def _missing(role: str, found: Sequence[str], where: str) -> str:
    return (
        f"{where}: no column looks like the {role}. Found: {', '.join(found) or 'none'}. A log "
        f"has one row a page ({', '.join(_NEEDED_OF_PAGES)}) or one row a shown document "
        f"({', '.join(_NEEDED_OF_EVENTS)}). Name it with {role}=...; guessed are "
        f"{_USUAL[role].replace(' ', ', ')}."
    )


def _require_named(found: Sequence[str], wanted: ClickColumns, where: str) -> None:
    for role in (*_USUAL, "fields"):
        named = getattr(wanted, role) or ()
        for name in [named] if isinstance(named, str) else named:
            if name not in found:
                near = difflib.get_close_matches(name, found, n=1)
                raise BadRecord(
                    f"{where}: there is no column {name!r}, named as {role}. Found: "
                    f"{', '.join(found) or 'none'}."
                    + (f" Did you mean {near[0]!r}?" if near else "")
                )
