"""The bugs that LanceDB alone would have: a write that was acknowledged, and is lost or torn."""

import random
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest
from lance_child import LAYOUT, die_in_upkeep, write_on, written
from lance_files import files, flushed, hold_flushed, hold_whole, table

from nearfar.errors import BadFile
from nearfar.progress import silent
from nearfar.stores.lance import LanceShelf
from nearfar.stores.lance_store import LanceStore
from nearfar.stores.lance_upkeep import Sizes

lance = pytest.importorskip("lance")


@pytest.fixture
def shelf(tmp_path: Path) -> LanceShelf:
    return LanceShelf(tmp_path / "shelf")


@pytest.fixture
def store(shelf: LanceShelf) -> LanceStore:
    return shelf.create("one", LAYOUT)


WRITES: dict[str, Callable[[LanceStore], object]] = {
    "upsert": lambda store: store.upsert(written("a", 1)),
    "upsert of one": lambda store: store.upsert(written("a", 0)[:1]),
    "delete": lambda store: store.delete(["a-1", "a-2"]),
    "delete all": lambda store: store.delete([f"a-{at}" for at in range(99)]),
    "optimise": lambda store: store.optimise(silent),
    "tell": lambda store: store.tell({"a": 1}),
}


@pytest.mark.parametrize("what", WRITES)
def test_every_file_of_a_write_is_flushed_before_it_returns(
    what: str, shelf: LanceShelf, store: LanceStore, tmp_path: Path
) -> None:
    store.upsert(written("a", 0))
    before = files(tmp_path)
    with flushed() as seen:
        WRITES[what](store)
    assert hold_flushed(tmp_path, before, seen)


def test_a_new_version_and_a_switch_are_flushed(shelf: LanceShelf, tmp_path: Path) -> None:
    with flushed() as seen:
        shelf.create("one", LAYOUT)
    inodes = {inode for inode, _, _ in seen}
    for path in (tmp_path / "shelf").rglob("*"):
        if path.suffix != ".lock":  # holds nothing
            assert path.stat().st_ino in inodes, path
    with flushed() as seen:
        shelf.switch("one", None)
    assert (tmp_path / "shelf" / "live.json").stat().st_ino in {inode for inode, _, _ in seen}
    assert (tmp_path / "shelf").stat().st_ino in {inode for inode, _, _ in seen}


def test_upkeep_that_joins_files_and_builds_an_index_is_flushed(tmp_path: Path) -> None:
    store = LanceShelf(tmp_path / "shelf", Sizes(parted=64)).create("one", LAYOUT)
    for number in range(12):
        store.upsert(written("a", number))
    before = files(tmp_path)
    with flushed() as seen:
        store.optimise(silent)
    new = hold_flushed(tmp_path, before, seen)
    assert {"data", "_versions"} <= {path.parent.name for path in new}
    assert len({path.parent for path in new if path.parent.parent.name == "_indices"}) == 3
    assert store.pending() == 0


def test_what_a_manifest_names_is_flushed_before_it(store: LanceStore, tmp_path: Path) -> None:
    store.upsert(written("a", 0))
    before = files(tmp_path)
    manifests = len(list(tmp_path.rglob("*.manifest")))
    with flushed() as seen:
        store.upsert(written("a", 1))
    new = hold_flushed(tmp_path, before, seen)
    first = {inode for inode, _, there in seen if there == manifests}
    named = [path for path in new if path.parent.name in ("data", "_deletions")]
    assert len(named) == 2
    for path in named:
        assert path.stat().st_ino in first
        assert path.parent.stat().st_ino in first


@pytest.mark.parametrize("left", [b"", b"\0" * 900, None], ids=["none", "zeros", "half"])
def test_a_manifest_cut_by_a_loss_of_power_is_no_version(
    left: bytes | None, shelf: LanceShelf, store: LanceStore, tmp_path: Path
) -> None:
    store.upsert(written("a", 0))
    store.upsert(written("a", 1))
    newest = min(tmp_path.rglob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2] if left is None else left)
    store.close()
    again = shelf.open("one")
    assert hold_whole(tmp_path / "shelf") == {f"a-{at}": 0 for at in range(12)}
    again.upsert(written("a", 1))
    assert again.count() == 18


@pytest.mark.parametrize("step", [1, 2, 3])
def test_power_lost_in_upkeep_takes_nothing(
    step: int, shelf: LanceShelf, store: LanceStore, processes: BaseContext, tmp_path: Path
) -> None:
    for number in range(12):
        store.upsert(written("a", number))
    expected = hold_whole(tmp_path / "shelf")
    before = files(tmp_path)
    child = processes.Process(target=die_in_upkeep, args=(tmp_path / "shelf", step))  # type: ignore[attr-defined]
    child.start()
    child.join(60)
    assert child.exitcode == -9
    if step == 1:  # not flushed yet: none of it is promised to be there
        new = [path for path, said in files(table(tmp_path / "shelf")).items()
               if before.get(path) != said]  # fmt: skip
        assert any(path.parent.name == "data" for path in new)
        for path in new:
            path.write_bytes(b"")
    store.upsert(written("b", 0))  # by who had it open all the while
    assert hold_whole(tmp_path / "shelf") == expected | {f"b-{at}": 0 for at in range(12)}
    again = shelf.open("one")
    assert again.count() == len(expected) + 12
    again.optimise(silent)
    assert hold_whole(tmp_path / "shelf") == expected | {f"b-{at}": 0 for at in range(12)}


def killed_in_writing(folder: Path, processes: BaseContext, first: int, dice: random.Random) -> int:
    """Have a process write, kill it at some moment, and return how many writes it has said."""
    here, there = processes.Pipe(duplex=False)
    child = processes.Process(  # type: ignore[attr-defined]
        target=write_on, args=(folder, "a", first, 10_000, there)
    )
    child.start()
    there.close()
    last = -1
    for _ in range(dice.randint(1, 4)):
        assert here.poll(60), "no write in a minute"
        last = here.recv()
    child.join(dice.random() * 0.05)  # a moment anywhere in the next writes
    child.kill()
    child.join(60)
    try:
        while here.poll(0):
            last = here.recv()
    except EOFError:
        pass
    here.close()
    return last


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_while_it_writes_no_process_loses_what_it_said(
    rounds: int, shelf: LanceShelf, store: LanceStore, processes: BaseContext, tmp_path: Path
) -> None:
    store.close()
    dice = random.Random(0)
    number = 0
    for at in range(rounds):
        last = killed_in_writing(tmp_path / "shelf", processes, number, dice)
        held = hold_whole(tmp_path / "shelf")
        # The one after the last that was said may be there too, or not; all or nothing of it.
        reached = max(held.values())
        assert reached in (last, last + 1)
        expected = {one.document.id: n for n in range(reached + 1) for one in written("a", n)}
        assert held == expected
        number = reached + 1
        if at % 3 == 2:
            opened = shelf.open("one")
            opened.optimise(silent)
            assert opened.count() == len(expected)
            opened.close()
    leftover = lance.dataset(str(table(tmp_path / "shelf")))
    named = {one.path for fragment in leftover.get_fragments() for one in fragment.data_files()}
    shelf.open("one").optimise(silent)
    data = {path.name for path in (table(tmp_path / "shelf") / "data").iterdir()}
    assert len(data) <= len(named) + 1  # what the killed have left is gone


def test_two_processes_write_at_once_and_nothing_is_lost(
    shelf: LanceShelf, store: LanceStore, processes: BaseContext, tmp_path: Path
) -> None:
    folder = tmp_path / "shelf"
    children, pipes = [], []
    for writer in ("a", "b", "a"):  # two of them the very same documents
        here, there = processes.Pipe(duplex=False)
        child = processes.Process(target=write_on, args=(folder, writer, 0, 8, there))  # type: ignore[attr-defined]
        child.start()
        children.append(child)
        pipes.append((here, there))
    store.optimise(silent)  # and upkeep beside them
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    for here, there in pipes:
        assert [here.recv() for _ in range(8)] == list(range(8))
        here.close()
        there.close()
    held = hold_whole(folder)
    assert {name for name in held if name[0] == "b"} == {f"b-{at}" for at in range(54)}
    expected = {one.document.id: n for n in range(8) for one in written("b", n)}
    assert {name: n for name, n in held.items() if name[0] == "b"} == expected
    assert {name for name in held if name[0] == "a"} == {f"a-{at}" for at in range(54)}
    assert store.count() == 108


def test_files_taken_away_are_said(shelf: LanceShelf, store: LanceStore, tmp_path: Path) -> None:
    store.upsert(written("a", 0))
    store.close()
    for path in (table(tmp_path / "shelf") / "data").iterdir():
        path.unlink()
    with pytest.raises(BadFile, match=r"documents\.lance"):
        list(shelf.open("one").scan())
    for path in tmp_path.rglob("*.manifest"):
        path.unlink()
    with pytest.raises(BadFile, match="from a copy"):
        shelf.open("one")
