"""`nearfar import` as a person types it: kinds, rejects, and one message for a mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def nearfar(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nearfar", "import", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_bad_rows_are_set_aside_and_counted_aloud(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\nq1,a1\nq2\nq3,\nq1,a1\n")
    done = nearfar(tmp_path, "a.csv", "set", "--as", "faq", "--on-error", "reject")
    assert done.returncode == 0, done.stderr
    assert "rejected: 1 wrong number of columns" in done.stderr
    assert "rejected: 1 empty text" in done.stderr
    assert "4 rows read: 1 accepted, 1 repeated others, 2 rejected, 0 left out." in done.stderr
    lines = (tmp_path / "set" / "rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 4]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--as", "faqs"), "no kind 'faqs'"),
        (("--as", "beir"), "expected a BEIR folder"),
        (("--as", "python-docs"), "is the source python-docs itself"),
        (("--on-error", "skip"), "expected refuse or reject, got 'skip'"),
        (("--as", "texts", "--view", "blur"), "same, deletion, crop, letters, keyboard"),
        (("--as", "labels", "--documents-per-label", "0"), "must be 1 or more"),
        (("--as", "nli"), "no column looks like the query"),
    ],
)
def test_a_wrong_option_gets_one_message(tmp_path: Path, words: tuple[str, ...], part: str) -> None:
    (tmp_path / "a.csv").write_text("text,intent\nq1,a\nq2,a\n")
    done = nearfar(tmp_path, "a.csv", "set", *words)
    assert done.returncode == 2, done.stderr
    assert part in done.stderr.replace("\n", " ")
    assert done.stderr.count("nearfar: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
