"""What was paid for outlives everything but the loss of the disk."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from llm_server import PRICES, llm

from nearfar.errors import BadFile
from nearfar.llm.journal import Paid, open_journal


def paid(key: str, text: str = "[]", cost: float | None = 0.5, tokens: int = 10) -> Paid:
    return Paid(
        key=key, text=text, stop="end", input_tokens=tokens, output_tokens=1, counted=True,
        cost_usd=cost, max_tokens=100, model="m", at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


ONE, TWO = "00000000000000aa", "00000000000000bb"


def test_an_answer_is_found_again_by_the_next_run(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.add(paid(ONE, "ünï\ncode"))
        assert journal.get(ONE) == paid(ONE, "ünï\ncode")
    with open_journal(tmp_path / "j") as journal:
        assert journal.get(ONE) == paid(ONE, "ünï\ncode")
        assert journal.get(TWO) is None
        assert (journal.before.answers, journal.now.answers) == (1, 0)


def test_an_answer_is_on_disk_when_it_has_been_added(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.add(paid(ONE))
        assert (tmp_path / "j").read_bytes().endswith(b"\n")


def test_a_last_line_torn_at_any_byte_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.add(paid(ONE))
        first = path.stat().st_size
        journal.add(paid(TWO, "ü"))
    whole = path.read_bytes()
    for size in range(first, len(whole) - 1):  # without its newline alone it is whole
        path.write_bytes(whole[:size])
        with open_journal(path) as journal:
            assert journal.get(ONE) is not None
            assert journal.get(TWO) is None
        assert path.read_bytes() == whole[:first]
    path.write_bytes(whole[:-9])
    with open_journal(path) as journal:
        journal.add(paid(TWO, "again"))
    with open_journal(path) as journal:
        assert journal.get(TWO) == paid(TWO, "again")


@pytest.mark.parametrize("damage", ["no json\n", "[]\n", '{"key": "aa"}\n'])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.add(paid(ONE))
    path.write_text(path.read_text() + damage + path.read_text())
    with pytest.raises(BadFile, match="j:2: expected an answer"), open_journal(path):
        pass


@pytest.mark.parametrize("text", ["call the mayor", '{"key": "value"}', '["key"]', "one\ntwo"])
def test_a_file_that_is_no_journal_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(BadFile, match=r"notes\.txt:1: .*--journal"), open_journal(path):
        pass
    assert path.read_text() == text


def test_an_empty_file_that_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    with open_journal(tmp_path / "j"):
        pass
    assert (tmp_path / "j").exists()


def test_a_last_answer_saved_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.add(paid(ONE))
    os.truncate(path, path.stat().st_size - 1)
    with open_journal(path) as journal:
        assert journal.get(ONE) == paid(ONE)
        journal.add(paid(TWO))
    with open_journal(path) as journal:
        assert [journal.get(key) for key in (ONE, TWO)] == [paid(ONE), paid(TWO)]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: a full disk, as a write sees it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_line_for_others_to_append_to(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.add(paid(ONE))
        size = path.stat().st_size
        with files_end_at(size + 20), pytest.raises(OSError, match="File too large"):
            journal.add(paid(TWO))
        assert path.stat().st_size == size
        journal.add(paid(TWO, "again"))
        assert journal.get(TWO) == paid(TWO, "again")
    with open_journal(path) as journal:
        assert journal.before.answers == 2


def test_a_lost_request_is_no_answer_and_no_part_of_the_bill(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.add(replace(paid(ONE), stop="lost"))
        assert journal.get(ONE) is None
        assert (journal.now.answers, journal.lost_now.answers) == (0, 1)
        journal.add(paid(ONE, cost=0.25))
    with open_journal(tmp_path / "j") as journal:
        assert journal.get(ONE) == paid(ONE, cost=0.25)
        assert journal.before.total_usd(llm("http://x")) == 0.25
        assert journal.lost_before.total_usd(llm("http://x")) == 0.5


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "j"),
        pytest.raises(BadFile, match="another process"),
        open_journal(tmp_path / "j"),
    ):
        pass


def test_nothing_paid_leaves_no_file(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j"):
        pass
    assert not (tmp_path / "j").exists()


def test_a_later_answer_replaces_an_earlier_one_and_both_are_on_the_bill(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.add(paid(ONE, "old"))
        journal.add(paid(ONE, "new"))
    with open_journal(tmp_path / "j") as journal:
        assert journal.get(ONE) == paid(ONE, "new")
        assert journal.before.total_usd(llm("http://x")) == 1.0


def test_what_was_paid_at_an_unknown_price_is_priced_when_it_is_known(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.add(paid(ONE, cost=None, tokens=1_000))
        journal.add(paid(TWO, cost=0.5))
        assert journal.now.total_usd(llm("http://x")) is None
        assert journal.now.total_usd(llm("http://x", **PRICES)) == pytest.approx(1.505)
