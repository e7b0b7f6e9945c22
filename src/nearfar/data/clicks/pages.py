"""Turns the rows of a search log into shown pages: who saw what, in which order, and clicked."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearfar.data.clicks.cells import (
    Entry,
    as_clicked,
    as_dwell,
    as_text,
    as_time,
    as_whole,
    listed,
    named_entry,
    says_click,
)
from nearfar.data.clicks.columns import ClickColumns, names_someone
from nearfar.data.clicks.private import personal
from nearfar.data.fields import scalar_fields
from nearfar.data.notes import Notes
from nearfar.data.rejects import REFUSE, BadRow, Rejects, Tally
from nearfar.data.rows import Row, read_rows
from nearfar.records import Scalar

_OPEN_PAGES = 10_000  # events of so many pages may lie mixed in a log
_ON_NOTHING = "clicks on what the page did not show"


@dataclass(slots=True)
class Result:
    """One document on a page."""

    id: str
    rank: int  # from 1
    text: str = ""  # where the log holds it
    clicked: bool = False
    dwell: float | None = None  # seconds; None: not known
    apart: bool = False  # a click that is an event of its own, beside that of the impression


@dataclass(slots=True)
class Page:
    """What one search showed."""

    where: str
    query: str
    session: str
    user: str
    agent: str
    time: float | None  # seconds since 1970, UTC
    fields: dict[str, Scalar]
    results: list[Result] = field(default_factory=list)
    rows: int = 1  # of the log


@dataclass(frozen=True, slots=True)
class Habits:
    """What no column's name tells: seen in the first rows."""

    first_position: int
    clicks_are_positions: bool


def habits_of(rows: Sequence[Row], columns: ClickColumns, notes: Notes) -> Habits:
    """Return how a log counts positions and names clicks, and say it where it was guessed."""
    clicked: list[tuple[Entry, set[str]]] = []
    numbers: list[int] = []
    for row in rows:
        try:
            if columns.shown:
                clicked += _clicked_and_shown(row, columns)
            elif row.values.get(columns.position or "") not in (None, ""):
                numbers.append(as_whole(row, columns.position))
        except BadRow:
            continue  # it is refused or set aside when its turn comes
    named = [(click.id, shown) for click, shown in clicked if click.id]
    strangers = sum(id not in shown for id, shown in named)
    # A log may hold a stray click on what was not shown: most of them must be strangers.
    positions = 2 * strangers > len(named) and all(id.isdecimal() for id, _ in named)
    numbers += [click.position for click, _ in clicked if click.position is not None]
    numbers += [int(click.id) for click, _ in clicked if positions and click.id]
    first = columns.first_position
    if first is None:
        first = 0 if 0 in numbers else 1
        if numbers:
            notes.say(f"Positions are counted from {first}.")
    if positions:
        notes.say("Clicks are given as positions.")
    return Habits(first, positions)


def _clicked_and_shown(row: Row, columns: ClickColumns) -> list[tuple[Entry, set[str]]]:
    shown = {named_entry(entry, row.where, "shown").id for entry in listed(row, columns.shown)}
    clicks = listed(row, columns.clicks)
    return [(named_entry(entry, row.where, "clicks"), shown) for entry in clicks]


def read_pages(
    source: Path,
    columns: ClickColumns,
    habits: Habits,
    notes: Notes,
    rejects: Rejects = REFUSE,
) -> Iterator[Page]:
    """Yield the pages of a log, as they come.

    Where a row is one event, events of one session and query make a page until a position or
    a document comes again. A click may be an event of its own: it then says `click`, or has no
    position. A row that says 0 or 1 is an impression.

    Raises:
        BadFile: see `read_rows`.
        BadRow: a row lacks what it needs, or holds something of another kind, and is not set
            aside.
    """
    gathered: OrderedDict[tuple[str, ...], Page] = OrderedDict()
    for row in read_rows(source, rejects):
        rejects.tally.read += 1
        try:
            if columns.shown:
                page = _page(row, columns, notes)
                _fill(page, row, columns, habits, notes)
                yield page
            else:
                yield from _gather(gathered, row, columns, habits, notes, rejects.tally)
        except BadRow as error:
            rejects.take(error, row.where, row.values)
    yield from gathered.values()


def _page(row: Row, columns: ClickColumns, notes: Notes) -> Page:
    return Page(
        where=row.where,
        query=as_text(row, columns.query),
        session=as_text(row, columns.session),
        user=as_text(row, columns.user),
        agent=as_text(row, columns.agent),
        time=as_time(row, columns.time),
        fields=_fields(row, columns, notes),
    )


def _fields(row: Row, columns: ClickColumns, notes: Notes) -> dict[str, Scalar]:
    """Return the cohorts of a row; what names a person is counted and left out."""
    if columns.fields is not None:
        named = {name: row.values.get(name) for name in columns.fields}
        fields = scalar_fields(named, without=set(), notes=notes)
    else:
        without = columns.used | {name for name in row.values if names_someone(name)}
        for name in without - columns.used:
            notes.left_out[f"values of {name!r} (names a person or a machine)"] += 1
        fields = scalar_fields(row.values, without=without, notes=notes)
    for name, value in list(fields.items()):
        if isinstance(value, str) and (reason := personal(value)):
            notes.left_out[f"values of {name!r} that hold {reason}"] += 1
            del fields[name]
    return fields


def _fill(page: Page, row: Row, columns: ClickColumns, habits: Habits, notes: Notes) -> None:
    """Add what a row shows and what was clicked on it."""
    seen: dict[str, Result] = {}
    for place, value in enumerate(listed(row, columns.shown), start=1):
        entry = named_entry(value, row.where, "shown")
        if not entry.id:
            raise BadRow(
                "no id",
                f"{row.where}: place {place} of {columns.shown!r} has no id. Name each shown "
                "document, as a text, a number or an object with an 'id'.",
            )
        result = Result(id=entry.id, rank=place, text=entry.text)
        if seen.setdefault(entry.id, result) is result:
            page.results.append(result)
        else:
            notes.left_out["documents shown twice on one page (the first place counts)"] += 1
    by_rank = {result.rank: result for result in page.results}
    clicks = listed(row, columns.clicks)
    dwells = _dwells(row, columns, len(clicks))
    for value, dwell in zip(clicks, dwells, strict=True):
        entry = named_entry(value, row.where, "clicks")
        position = entry.position
        if habits.clicks_are_positions and entry.id.isdecimal():
            position = int(entry.id)
        if entry.id in seen and not habits.clicks_are_positions:
            clicked = seen.get(entry.id)
        else:
            clicked = by_rank.get(-1 if position is None else position + 1 - habits.first_position)
        if clicked is None:
            notes.left_out[_ON_NOTHING] += 1
            continue
        _click(clicked, entry.dwell if entry.dwell is not None else dwell)


def _click(result: Result, dwell: float | None) -> None:
    """Note a click; of several on one result the longest stay counts."""
    known = [seconds for seconds in (result.dwell, dwell) if seconds is not None]
    result.clicked, result.dwell = True, max(known, default=None)


def _dwells(row: Row, columns: ClickColumns, clicks: int) -> list[float | None]:
    """Return the seconds of each click: one for all, or as many as clicks."""
    value = row.values.get(columns.dwell or "")
    if value is None or value == "":
        return [None] * clicks
    values = listed(row, columns.dwell)
    if len(values) != clicks and (len(values) != 1 or clicks > 1):
        raise BadRow(
            "wrong number of dwells",
            f"{row.where}: expected {clicks} number(s) in {columns.dwell!r}, one a click, found "
            f"{len(values)}. Correct the row, or give each click as an object with its dwell.",
        )
    seconds = [as_dwell(value, row.where, columns.dwell or "") for value in values]
    return seconds if clicks else []


def _gather(
    open_pages: OrderedDict[tuple[str, ...], Page],
    row: Row,
    columns: ClickColumns,
    habits: Habits,
    notes: Notes,
    tally: Tally,
) -> Iterator[Page]:
    """Add an event to its page; yield the page that it shows to be whole, if any."""
    event = _event(row, columns, habits)
    key = tuple(as_text(row, name) for name in (columns.user, columns.session, columns.query))
    page = open_pages.get(key)
    if page is not None and _joins(page, event):
        page.rows += 1
        return
    if event.rank == 0:  # a click that only names a document
        notes.left_out[_ON_NOTHING] += 1
        tally.left_out[_ON_NOTHING] += 1
        return
    fresh = _page(row, columns, notes)
    fresh.results.append(event)
    if page is not None:
        yield open_pages.pop(key)
    open_pages[key] = fresh
    if len(open_pages) > _OPEN_PAGES:
        yield open_pages.popitem(last=False)[1]


def _event(row: Row, columns: ClickColumns, habits: Habits) -> Result:
    """Return what one event says; its rank is 0 where a click has no position."""
    id = as_text(row, columns.document)
    if not id:
        raise BadRow(
            "no id",
            f"{row.where}: {columns.document!r} is missing or empty. Each event names the "
            "document it is about; fill it in or remove the row.",
        )
    clicked = as_clicked(row, columns.clicked)
    rank = 0
    if not (clicked and row.values.get(columns.position or "") in (None, "")):
        rank = as_whole(row, columns.position) + 1 - habits.first_position
        if rank < 1:
            raise BadRow(
                "broken position",
                f"{row.where}: expected a position of {habits.first_position} or more, found "
                f"{row.values.get(columns.position or '')!r}. Correct the row, or say "
                "first_position=0 if the top of a page is called 0.",
            )
    result = Result(id, rank, as_text(row, columns.text))
    if clicked:
        result.apart = rank == 0 or says_click(row, columns.clicked)
        dwell = row.values.get(columns.dwell or "")
        _click(result, as_dwell(dwell, row.where, columns.dwell or ""))
    return result


def _clicked_on(page: Page, click: Result) -> bool:
    """Note a click on what a page shows; False if it does not show it."""
    for there in page.results:
        if there.id == click.id and click.rank in (0, there.rank):
            _click(there, click.dwell)
            return True
    return False


def _joins(page: Page, result: Result) -> bool:
    """Add a result to a page, or its click; False if it must belong to another page."""
    if result.apart and _clicked_on(page, result):
        return True
    if result.rank == 0 or any(
        there.rank == result.rank or there.id == result.id for there in page.results
    ):
        return False
    page.results.append(result)
    return True
