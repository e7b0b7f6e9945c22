"""What was paid for outlives everything but the loss of the disk."""

from pathlib import Path

import pytest
from town import PRICES, llm

from nearfar.errors import BadFile
from nearfar.synthesis.journal import Paid, open_journal


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
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        with open_journal(path) as journal:
            assert journal.get(ONE) is not None
            assert journal.get(TWO) is None
            journal.add(paid(TWO, "again"))
        with open_journal(path) as journal:
            found = journal.get(TWO)
            assert found is not None
            assert found.text == "again"


@pytest.mark.parametrize("damage", ["no json\n", "[]\n", '{"key": "aa"}\n'])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.add(paid(ONE))
    path.write_text(path.read_text() + damage + path.read_text())
    with pytest.raises(BadFile, match="j:2: expected an answer"), open_journal(path):
        pass


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
