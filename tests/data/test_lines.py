"""Files are read line by line, and what is wrong with them is said once."""

import gzip
from pathlib import Path

import pytest

from nearfar.data.commas import csv_rows
from nearfar.data.lines import json_lines, numbered_lines, tsv_rows
from nearfar.errors import BadFile, BadRecord


def test_plain_and_gzipped_text_read_alike(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    text = '{"a": "é"}\n\n{"a": 2}\n'.encode()
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    assert list(json_lines(plain)) == list(json_lines(packed)) == [(1, {"a": "é"}), (3, {"a": 2})]


def test_gzip_is_known_by_its_first_bytes_not_only_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert list(json_lines(path)) == [(1, {"a": 1})]


def test_a_mark_at_the_start_and_windows_line_ends_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfquery,document\r\nq,d\r\n")
    assert list(csv_rows(path)) == [(1, ["query", "document"]), (2, ["q", "d"])]


def test_a_csv_row_over_several_lines_is_known_by_its_first(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('query,document\n"one\ntwo",d\nlast,e\n')
    assert [line for line, _ in csv_rows(path)] == [1, 2, 4]


def test_a_csv_cell_may_be_longer_than_the_csv_module_allows_at_first(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("query,document\nq," + "x" * 200_000 + "\n")
    assert len(list(csv_rows(path))[1][1][1]) == 200_000


def test_quotation_marks_are_text_in_a_tsv(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('"Hello" she said\tand "left\n')
    assert list(tsv_rows(path)) == [(1, ['"Hello" she said', 'and "left'])]


BAD_FILES = {
    "empty.jsonl": (b"", "the file is empty"),
    "blank.jsonl": (b"\n\n", "only blank lines"),
    "hollow.jsonl.gz": (gzip.compress(b""), "the file is empty once unpacked"),
    "plain.jsonl.gz": (b'{"a": 1}\n', "expected gzip"),
    "latin.jsonl": (b'{"a": 1}\n{"a": "\xe9"}\n', ":2: expected UTF-8, found byte 0xe9"),
    "wide.jsonl": ('{"a": 1}\n'.encode("utf-16"), ":1: expected UTF-8.*UTF-16"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_what_was_expected(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadFile, match=f"{name}.*{message}|{name}{message}"):
        list(json_lines(path))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_gzip_that_was_cut_off_says_after_which_line(tmp_path: Path, kept: float) -> None:
    whole = gzip.compress("".join(f'{{"a": "{i * i}"}}\n' for i in range(5_000)).encode())
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(BadFile, match=r"cut\.jsonl\.gz:\d+: the gzip data is cut off or damaged"):
        list(numbered_lines(path))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none\.jsonl: no such file"):
        list(numbered_lines(tmp_path / "none.jsonl"))
    with pytest.raises(BadFile, match="expected a file, found a folder"):
        list(numbered_lines(tmp_path))


BAD_LINES = {
    "not json": ("{'a': 1}", "expected one JSON object"),
    "a list": ("[1, 2]", "found a list"),
    "cut": ('{"a": "b', "expected one JSON object"),
    "deep": ("[" * 100_000, "expected one JSON object"),
    "half a character": ('{"a": "\\ud83d"}', "half of a surrogate pair"),
    "a huge number": ('{"a": ' + "9" * 5_000 + "}", "expected one JSON object"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path, case: str) -> None:
    line, message = BAD_LINES[case]
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"a": "\\ud83d\\ude00"}}\n{line}\n')
    with pytest.raises(BadRecord, match=rf"bad\.jsonl:2: .*{message}"):
        list(json_lines(path))


def test_a_quotation_that_is_not_closed_is_named_with_the_line_it_starts_on(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text('query,document\nq,d\n"open,d\nmore\n')
    with pytest.raises(BadRecord, match=r"bad\.csv:3: not CSV"):
        list(csv_rows(path))
