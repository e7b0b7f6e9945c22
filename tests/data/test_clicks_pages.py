"""Search logs are read whatever they call things, a row a page or a row an event."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from making import write_lines

from nearfar.data.clicks.columns import ClickColumns, choose_click_columns
from nearfar.data.clicks.pages import Page, habits_of, read_pages
from nearfar.data.notes import Notes
from nearfar.data.rows import read_rows
from nearfar.errors import BadRecord, BadSetting

PAGES = [
    {"query": "cats", "shown": ["a", "b", "c"], "clicks": ["b"], "session": "s", "time": 60},
    {"query": "dogs", "shown": ["c", "a"], "clicks": [], "session": "t", "time": 120},
]


def read(path: Path, **wanted: Any) -> tuple[list[Page], Notes]:
    notes = Notes()
    rows = list(read_rows(path))
    found = list(dict.fromkeys(name for row in rows for name in row.values))
    columns, sentence = choose_click_columns(found, ClickColumns(**wanted), rows[0].where)
    notes.say(sentence)
    return list(read_pages(path, columns, habits_of(rows, columns, notes), notes)), notes


def shapes(pages: list[Page]) -> list[tuple[str, list[str], list[str]]]:
    """Return the query, what was shown in order of rank, and what was clicked."""
    return [
        (
            page.query,
            [result.id for result in sorted(page.results, key=lambda r: r.rank)],
            [result.id for result in page.results if result.clicked],
        )
        for page in pages
    ]


EXPECTED = [("cats", ["a", "b", "c"], ["b"]), ("dogs", ["c", "a"], [])]


def as_events(rows: list[dict[str, Any]], first: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "query": row["query"],
            "doc_id": document,
            "rank": place,
            "event": "click" if document in row["clicks"] else "impression",
            "session_id": row["session"],
        }
        for row in rows
        for place, document in enumerate(row["shown"], start=first)
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv.gz", "a.parquet"])
def test_every_format_shows_the_same_pages(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(PAGES), tmp_path / name)
    elif ".jsonl" in name:
        write_lines(tmp_path / name, *PAGES)
    else:
        divider = "\t" if ".tsv" in name else ","
        cells = [
            [row["query"], "|".join(row["shown"]), "|".join(row["clicks"]), row["session"]]
            for row in PAGES
        ]
        header = ["query", "shown", "clicks", "session"]
        write_lines(tmp_path / name, *(divider.join(map(str, row)) for row in [header, *cells]))
    assert shapes(read(tmp_path / name)[0]) == EXPECTED


@pytest.mark.parametrize("first", [0, 1])
def test_single_events_are_gathered_into_pages(tmp_path: Path, first: int) -> None:
    path = write_lines(tmp_path / "a.jsonl", *as_events(PAGES, first))
    pages, notes = read(path)
    assert shapes(pages) == EXPECTED
    assert [result.rank for result in pages[0].results] == [1, 2, 3]
    assert f"Positions are counted from {first}." in notes.sentences


def test_events_of_two_sessions_may_lie_mixed(tmp_path: Path) -> None:
    one = as_events([{"query": "q", "shown": ["a", "b"], "clicks": ["b"], "session": "s"}])
    two = as_events([{"query": "q", "shown": ["c", "d"], "clicks": ["c"], "session": "t"}])
    mixed = [event for both in zip(one, two, strict=True) for event in both]
    pages, _ = read(write_lines(tmp_path / "a.jsonl", *mixed))
    assert shapes(pages) == [("q", ["a", "b"], ["b"]), ("q", ["c", "d"], ["c"])]


def test_the_same_search_again_is_a_page_of_its_own(tmp_path: Path) -> None:
    page = {"query": "q", "shown": ["a", "b"], "clicks": [], "session": "s"}
    again = page | {"clicks": ["a"]}
    path = write_lines(tmp_path / "a.jsonl", *as_events([page, page]))
    assert shapes(read(path)[0]) == [("q", ["a", "b"], []), ("q", ["a", "b"], [])]
    path = write_lines(tmp_path / "b.jsonl", *as_events([page]), *as_events([again])[:1])
    assert shapes(read(path)[0]) == [("q", ["a", "b"], ["a"])]  # the click came as an event


def test_a_row_of_0_or_1_is_an_impression_and_never_a_click_on_the_page_before(
    tmp_path: Path,
) -> None:
    page = {"query": "q", "shown": ["a", "b"], "clicks": [], "session": "s"}
    rows = as_events([page, page | {"clicks": ["a"]}])
    rows = [row | {"event": int(row["event"] == "click")} for row in rows]
    pages, _ = read(write_lines(tmp_path / "a.jsonl", *rows), clicked="event")
    assert shapes(pages) == [("q", ["a", "b"], []), ("q", ["a", "b"], ["a"])]


def test_a_click_without_a_position_names_the_document(tmp_path: Path) -> None:
    shown = [
        {"q": "x", "document": d, "position": p, "event": "impression", "session": 1}
        for p, d in enumerate("ab", start=1)
    ]
    click = {"q": "x", "document": "b", "position": None, "event": "click", "session": 1}
    pages, notes = read(write_lines(tmp_path / "a.jsonl", *shown, click, click | {"document": "z"}))
    assert shapes(pages) == [("x", ["a", "b"], ["b"])]
    assert notes.left_out == {"clicks on what the page did not show": 1}


def test_clicks_may_be_positions_or_objects_with_their_dwell(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"query": "q", "shown": ["a", "b"], "clicks": [0, 1]},
        {"query": "r", "shown": ["a", "b"], "clicks": [1]},
    ]
    pages, notes = read(write_lines(tmp_path / "a.jsonl", *rows))
    assert shapes(pages) == [("q", ["a", "b"], ["a", "b"]), ("r", ["a", "b"], ["b"])]
    assert "Clicks are given as positions." in notes.sentences
    rows = [
        {
            "query": "q",
            "shown": [{"id": 1, "title": "A", "text": "a."}, {"id": 2, "text": "b"}],
            "clicks": [{"id": 2, "dwell": 7}, {"position": 1, "dwell_ms": 9000}, {"id": 2}],
        }
    ]
    (page,) = read(write_lines(tmp_path / "b.jsonl", *rows))[0]
    assert [(r.id, r.text, r.dwell) for r in page.results] == [("1", "A a.", 9), ("2", "b", 7)]


def test_numbers_that_are_ids_are_not_taken_for_positions(tmp_path: Path) -> None:
    rows = [{"query": "q", "shown": [3, 1, 2], "clicks": [1]}]
    assert shapes(read(write_lines(tmp_path / "a.jsonl", *rows))[0]) == [
        ("q", ["3", "1", "2"], ["1"])
    ]


def test_one_stray_click_does_not_turn_all_clicks_into_positions(tmp_path: Path) -> None:
    rows = [{"query": "q", "shown": [3, 1, 2], "clicks": [click]} for click in (1, 2, 9, 3)]
    pages, notes = read(write_lines(tmp_path / "a.jsonl", *rows))
    assert [clicked for *_, clicked in shapes(pages)] == [["1"], ["2"], [], ["3"]]
    assert notes.left_out == {"clicks on what the page did not show": 1}


def test_dwell_is_one_number_a_click(tmp_path: Path) -> None:
    row = {"query": "q", "shown": ["a", "b"], "clicks": ["b", "a"], "dwell": [40, 2]}
    (page,) = read(write_lines(tmp_path / "a.jsonl", row))[0]
    assert [(r.id, r.dwell) for r in page.results] == [("a", 2), ("b", 40)]
    with pytest.raises(BadRecord, match=r"a\.jsonl:1: expected 2 number\(s\) in 'dwell'"):
        read(write_lines(tmp_path / "a.jsonl", row | {"dwell": [40]}))


@pytest.mark.parametrize(
    "time",
    [1706702400, 1706702400000, "1706702400", "2024-01-31T12:00:00Z", "2024-01-31T13:00:00+01:00"],
)
def test_times_are_iso_or_seconds_or_milliseconds(tmp_path: Path, time: Any) -> None:
    (page,) = read(write_lines(tmp_path / "a.jsonl", PAGES[0] | {"time": time}))[0]
    assert page.time == 1706702400


@pytest.mark.parametrize("time", [20240131, "20240131", "2024-01-31"])
def test_eight_digits_are_a_day(tmp_path: Path, time: Any) -> None:
    (page,) = read(write_lines(tmp_path / "a.jsonl", PAGES[0] | {"time": time}))[0]
    assert page.time == 1706659200


@pytest.mark.parametrize(
    ("value", "clicked"), [(2, True), (0.0, False), ("1.0", True), ("0", False), (None, False)]
)
def test_a_click_may_be_a_count(tmp_path: Path, value: Any, clicked: bool) -> None:
    event = as_events(PAGES)[0] | {"event": value}
    ((page,), _) = read(write_lines(tmp_path / "a.jsonl", event), clicked="event")
    assert page.results[0].clicked == clicked


BROKEN = [
    ({"clicks": 1.5}, "expected an id, a number or an object"),
    ({"shown": [{"text": "no id"}]}, "expected an id, a number or an object"),
    ({"shown": "[1, 2"}, "expected a JSON list in 'shown'"),
    ({"shown": "[" * 100_000}, "expected a JSON list in 'shown'"),
    ({"shown": '["\\ud83d"]'}, "expected a JSON list in 'shown'"),
    ({"shown": '["a\\u0000"]'}, "the text in 'shown' holds a NUL character"),
    ({"shown": [{"id": "a", "text": "b\0"}]}, "the text in 'shown' holds a NUL character"),
    ({"time": "yesterday"}, "expected a time in 'time'"),
    ({"time": "99999999999999999999"}, "expected a time in 'time'"),
    ({"time": 10**400}, "expected a time in 'time'"),
    ({"clicks": [{"position": 10**400}]}, "expected a whole number"),
    ({"time": float("inf")}, "expected a time in 'time'"),
    ({"query": "a\0b"}, "the text in 'query' holds a NUL character"),
    ({"query": ["q"]}, "expected plain text in 'query', found list"),
    ({"clicks": [{"id": "b", "dwell": -1}]}, "expected seconds of 0 or more"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=lambda x: str(x)[:40])
def test_a_broken_page_is_named_with_its_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRecord, match=rf"a\.jsonl:2: {message}"):
        read(write_lines(tmp_path / "a.jsonl", PAGES[1], PAGES[0] | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": -1}, "expected a whole number of 0 or more as position"),
        ({"rank": None}, "expected a whole number of 0 or more as position"),
        ({"doc_id": ""}, "'doc_id' is missing or empty"),
        ({"event": "maybe"}, "expected 0 or 1, true or false"),
        ({"event": float("nan")}, "expected 0 or 1, true or false"),
        ({"event": -1}, "expected 0 or 1, true or false"),
        ({"event": 10**400}, "expected 0 or 1, true or false"),
        ({"event": "-1"}, "expected 0 or 1, true or false"),
    ],
)
def test_a_broken_event_is_named_with_its_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    event = as_events(PAGES)[0]
    with pytest.raises(BadRecord, match=rf"a\.jsonl:2: {message}"):
        read(write_lines(tmp_path / "a.jsonl", event, event | change))


def test_a_position_above_the_top_is_refused(tmp_path: Path) -> None:
    event = as_events(PAGES)[0] | {"rank": 0}
    with pytest.raises(BadRecord, match=r"a\.jsonl:1: expected a position of 1 or more, found 0"):
        read(write_lines(tmp_path / "a.jsonl", event), first_position=1)
    with pytest.raises(BadSetting, match="0 or 1, got 2"):
        ClickColumns(first_position=2)


def test_columns_are_named_or_guessed_or_asked_for(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"frage": "q", "shown": ["a"], "clicks": ["a"]})
    with pytest.raises(BadRecord, match=r"a\.jsonl:1: no column looks like the query.*frage"):
        read(path)
    pages, notes = read(path, query="frage")
    assert pages[0].query == "q"
    assert notes.sentences[0] == (
        "A row is one shown page. Guessed from the names of the columns: shown, clicks."
    )
    with pytest.raises(BadRecord, match=r"no column 'frag', named as query.*Did you mean 'frage'"):
        read(path, query="frag")


def test_a_line_is_json_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('query,shown,clicks\nq,"[""a b"", ""c""]","[{""id"": ""c"", ""dwell"": 3}]"\n')
    assert shapes(read(path)[0]) == [("q", ["a b", "c"], ["c"])]
    assert json.loads('["a b"]') == ["a b"]
