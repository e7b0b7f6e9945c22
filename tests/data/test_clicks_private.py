"""What names a person is found in texts and in the names of columns, and is not learned from."""

from pathlib import Path
from time import process_time

import pytest
from making import write_lines
from test_clicks_pages import PAGES, read

from nearfar.data.clicks.private import personal


@pytest.mark.parametrize(
    "name",
    [
        "firstName",
        "visitorId",
        "ipAddress",
        "IPAddress",
        "customer_name",
        "client.ip",
        "User-ID",
        "visitorid",
    ],
)
def test_what_names_a_person_is_known_however_it_is_written(tmp_path: Path, name: str) -> None:
    row = PAGES[0] | {name: "x", "deviceType": "phone"}
    (page,), notes = read(write_lines(tmp_path / "a.jsonl", row), user="")
    assert page.fields == {"deviceType": "phone"}
    assert notes.left_out == {f"values of {name!r} (names a person or a machine)": 1}
    (page,), _ = read(write_lines(tmp_path / "a.jsonl", row), user="", fields=(name,))
    assert page.fields == {name: "x"}  # asked for by name


def test_what_names_a_person_is_no_field(tmp_path: Path) -> None:
    row = PAGES[0] | {"lang": "en", "ip": "1.2.3.4", "note": "call jane@example.org", "user": "u"}
    (page,), notes = read(write_lines(tmp_path / "a.jsonl", row))
    assert page.fields == {"lang": "en"}
    assert notes.left_out == {
        "values of 'ip' (names a person or a machine)": 1,
        "values of 'note' that hold an e-mail address": 1,
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("write to jane.doe@example.co.uk", "an e-mail address"),
        ("GB82 WEST 1234 5698 7654 32 balance", "an IBAN"),
        ("de89370400440532013000", "an IBAN"),
        ("+49 30 1234567", "a phone number"),
        ("call 030/1234567", "a phone number"),
        ("ab12 cdef ghij klmn", ""),
        ("4111 1111 1111 1111", "a long run of digits"),
        ("account 123456789", "a long run of digits"),
        ("iphone 15 pro max 256", ""),
        ("error 0x80070005", ""),
        ("meeting 2024-01-31", ""),
        ("user@ what is that", ""),
        ("vitamin b12 2024-01-31", ""),
        ("\u0130B82 WEST 1234 5698 7654 32", "a long run of digits"),
        ("<jane@example.org>", "an e-mail address"),
    ],
)
def test_personal_data_is_found(text: str, reason: str) -> None:
    assert personal(text) == reason


def test_a_long_word_before_an_at_sign_is_read_once() -> None:
    began = process_time()
    assert personal("x" * 50_000 + "@") == ""
    assert process_time() - began < 0.5  # read once a letter, it took seconds
