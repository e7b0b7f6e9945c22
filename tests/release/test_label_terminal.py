"""The terminal sheet: keys from a real terminal, from lines, and through the command."""

import io
import os
import sys
from pathlib import Path

import pytest
from labelled import dataset, items
from rich.console import Console
from typer.testing import CliRunner, Result

from nearfar.cli import app
from nearfar.cli.keys import END, keyboard
from nearfar.cli.label_terminal import run_sheet
from nearfar.release.labelling import Labeller
from nearfar.release.marks import Journal
from nearfar.release.queue import write_queue
from nearfar.release.texts import FOLDED, Texts

PAIRS = [("q1", "d0"), ("q1", "d1"), ("q2", "d2")]


class Pressed:
    """A keyboard on which somebody has pressed some keys."""

    def __init__(self, keys: str, lines: tuple[str, ...] = ()) -> None:
        self._keys, self._lines = iter(keys), iter(lines)

    def key(self) -> str:
        return next(self._keys, END)

    def line(self, prompt: str) -> str:
        return next(self._lines)


def sheet(tmp_path: Path, keys: str, *lines: str, scale: str = "0-3") -> tuple[str, Journal]:
    """What is shown as these keys are pressed, and the journal."""
    queue = items(*PAIRS, why="new query of part = \x1b[3J")
    journal = Journal(tmp_path / "m.jsonl")
    data = dataset(tmp_path / "d")
    console = Console(file=io.StringIO(), force_terminal=True, width=90, color_system="standard")
    labeller = Labeller(queue, journal, "ann", scale)
    run_sheet(labeller, Texts(data, queue, "q"), Pressed(keys, lines), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), journal


def grades(journal: Journal) -> dict[tuple[str, str], int | None]:
    return {pair: mark.line.grade for (pair, _, _), mark in journal.standing().items()}


def test_keys_mark_skip_take_back_and_note(tmp_path: Path) -> None:
    shown, journal = sheet(tmp_path, "9xn3s1u0", "looks wrong")
    assert grades(journal) == {PAIRS[0]: 3, PAIRS[2]: 0}
    first = journal.lines[0]
    assert (first.did, first.note) == ("mark", "looks wrong")
    assert journal.lines[-1].note == ""  # a note is of one pair
    assert "'9' is no key here." in shown
    assert "Taken back." in shown
    assert "2 of 3, 1 skipped" in shown


def test_it_ends_when_all_is_marked_or_the_person_stops(tmp_path: Path) -> None:
    assert len(grades(sheet(tmp_path, "0123")[1])) == 3
    (tmp_path / "two").mkdir()
    assert len(grades(sheet(tmp_path / "two", "1q2")[1])) == 1


def test_yes_and_no(tmp_path: Path) -> None:
    shown, journal = sheet(tmp_path, "2y01", scale="yes-no")
    assert list(grades(journal).values()) == [1, 0, 1]
    assert "0 no answer  1 answer" in shown


def test_words_of_the_query_stand_out_and_nothing_commands_the_terminal(tmp_path: Path) -> None:
    shown, _ = sheet(tmp_path, "1")
    assert "\x1b[30;43mtea\x1b[0m" in shown
    assert "\ufffd[2J" in shown  # the document says ESC [2J, which would clear the screen
    assert "\ufffd[3J" in shown  # and so does the name of a cohort
    assert "<script>" in shown


def test_long_texts_are_folded_until_asked_for(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d")
    queue = items(("n", "d1"), content="x " * 40)
    texts = Texts(data, queue, "q")
    assert texts.shown(queue[0]).more == 0
    texts._documents["d1"] = "word " * 1000
    shown = texts.shown(queue[0])
    kept = "".join(words for words, _ in shown.folded)
    assert FOLDED - 80 <= len(kept) <= FOLDED
    assert len(kept) + shown.more == 5000
    assert kept.endswith("word")


# Single keys are read from a pseudo-terminal, which Windows does not have.
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_terminal_gives_single_keys_and_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import termios

    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as stdin, os.fdopen(master, "wb", buffering=0) as keys:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(slave)
        with keyboard() as board:
            keys.write(b"2s")
            assert [board.key(), board.key()] == ["2", "s"]
            keys.write(b"\x1b[A")  # an arrow: no "a", and no "["
            assert board.key() == ""
            keys.write("ü".encode())
            assert board.key() == "ü"
            keys.write(b"\x04")
            assert board.key() == END
        assert termios.tcgetattr(slave) == before
        with pytest.raises(KeyboardInterrupt), keyboard():
            raise KeyboardInterrupt
        assert termios.tcgetattr(slave) == before


def label(tmp_path: Path, *arguments: str, keys: str = "") -> Result:
    return CliRunner().invoke(app, ["label", str(tmp_path / "q.jsonl"), *arguments], input=keys)


def test_the_command_from_marks_to_a_dataset(tmp_path: Path) -> None:
    data = str(dataset(tmp_path / "d").folder)
    write_queue(items(*PAIRS), tmp_path / "q.jsonl")
    done = label(tmp_path, data, "--by", "ann", keys="3\nn hm\n\n1\n")
    assert "2 of 3 marked by ann" in done.output
    assert Journal(tmp_path / "q.marks.jsonl").lines[1].note == "hm"
    assert "3 of 3 marked" in label(tmp_path, data, "--by", "ann", keys="0\n").output
    assert "nothing to compare" in label(tmp_path, "--agreement").output
    assert "nothing to settle" in label(tmp_path, data, "--by", "kim", "--settles").output
    label(tmp_path, data, "--by", "bob", keys="3\n0\n0\n")
    told = label(tmp_path, "--agreement").output
    assert "ann, bob" in told
    assert "q1 · d1: ann 1, bob 0" in told
    assert "1 of 1 marked" in label(tmp_path, data, "--by", "kim", "--settles", keys="2\n").output
    done = label(tmp_path, data, "--write", str(tmp_path / "new"))
    assert "2 answers and 1 that are none (3 in test)" in done.output


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    data = str(dataset(tmp_path / "d").folder)
    write_queue(items(*PAIRS), tmp_path / "q.jsonl")
    for arguments, message in (
        ((data,), "--by"), (("--by", "ann"), "Expected the dataset"),
        ((data, "--by", "ann", "--grades", "0-9"), "0-3 or yes-no"),
        (("--agreement",), "expected a journal"),
        ((data, "--write", str(tmp_path / "new")), "expected a journal"),
        ((data, "--by", "ann", "--marks", str(tmp_path)), "found a folder"),
    ):  # fmt: skip
        assert message in str(label(tmp_path, *arguments).exception)
    assert not (tmp_path / "new").exists()
