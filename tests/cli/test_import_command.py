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
        (("--as", "clicks", "--set", "seed=1"), "begins with clicks. or click_columns., got"),
        (("--as", "clicks", "--group", "text"), "no use for group_field, columns.group"),
        (("--as", "clicks", "--split-anew"), "no use for keep_splits"),
        (("--set", "clicks.eta=1"), "Add --as clicks"),
        (("--as", "faq", "--documents", "a.csv"), "faq has no use for documents"),
    ],
)
def test_a_wrong_option_gets_one_message(tmp_path: Path, words: tuple[str, ...], part: str) -> None:
    (tmp_path / "a.csv").write_text("text,intent\nq1,a\nq2,a\n")
    done = nearfar(tmp_path, "a.csv", "set", *words)
    assert done.returncode == 2, done.stderr
    assert part in done.stderr.replace("\n", " ")
    assert done.stderr.count("nearfar: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_clicks_are_told_once_and_do_not_load_what_trains(tmp_path: Path) -> None:
    pages = [{"query": "q", "shown": ["ab", "ba"][n % 2], "clicks": "a"} for n in range(100)]
    rows = [
        page | {"shown": "|".join(page["shown"])} for page in [*pages, pages[0] | {"query": ""}]
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "texts.csv").write_text("id,text\na,first\nb,second\n")
    words = ["import", "log.jsonl", "set", "--as", "clicks", "--documents", "texts.csv"]
    code = (
        f"import sys; from nearfar.cli import app; app({words}, standalone_mode=False)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("False\n"), done.stderr
    assert done.stderr.count("1 pages without a query") == 1
    assert "103 rows read: 102 accepted, 0 repeated others, 0 rejected, 1 left out." in done.stderr


def test_a_setting_of_clicks_is_taken(tmp_path: Path) -> None:
    page = {"query": "q", "shown": ["a", "b"], "clicks": ["b"]}
    (tmp_path / "log.jsonl").write_text((json.dumps(page) + "\n") * 10)
    (tmp_path / "texts.csv").write_text("id,text\na,first\nb,second\n")
    words = ("--as", "clicks", "--documents", "texts.csv", "--set", "clicks.propensity=power")
    done = nearfar(tmp_path, "log.jsonl", "set", *words, "--set", "click_columns.first_position=1")
    assert done.returncode == 0, done.stderr
    assert "2 documents, 1 queries, 2 judgments" in done.stdout
