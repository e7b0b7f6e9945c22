"""A disk without room: what does not fit is refused whole, and nothing else is lost."""

import os
import random
import re
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lance_child import LAYOUT, written
from lance_files import files, hold_whole

from nearfar.errors import StoreFull
from nearfar.progress import silent
from nearfar.stores.contract import Entry
from nearfar.stores.lance import LanceShelf
from nearfar.stores.lance_store import LanceStore

pytest.importorskip("lance")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB; only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("only root may mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def big(number: int, size: int = 40_000) -> list[Entry]:
    """Return the write of that number with long texts that cannot be pressed."""
    return [heavy(one, size) for one in written("big", number)]


def heavy(one: Entry, size: int) -> Entry:
    text = random.Random(one.document.id).randbytes(size // 2).hex()
    return replace(one, document=replace(one.document, content=text))


def fill(store: LanceStore) -> int:
    """Write until there is no room; return the number of the write that was refused."""
    number = 0
    said = ""
    while not said:
        number += 1
        try:
            store.upsert(big(number))
        except StoreFull as error:
            said = str(error)
    assert re.search(r"no room .*Make room on the disk", said)
    return number


def fill_rest(disk: Path) -> None:
    """Leave not one block free."""
    handle = os.open(disk / "rest", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(handle, b"x" * 4096):
            pass
    os.close(handle)
    assert os.statvfs(disk).f_bavail == 0


def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path) -> None:
    shelf = LanceShelf(small_disk / "shelf")
    store = shelf.create("one", LAYOUT)
    store.upsert(written("a", 0))
    number = fill(store)
    assert number > 2
    expected = {f"a-{at}": 0 for at in range(12)} | {
        one.document.id: n for n in range(1, number) for one in big(n)
    }
    free = os.statvfs(small_disk).f_bavail
    for _ in range(3):  # nor does trying again fill it further
        with pytest.raises(StoreFull):
            store.upsert(big(number, 1_000_000))
        with suppress(StoreFull):  # what it can do it does
            store.optimise(silent)
        assert os.statvfs(small_disk).f_bavail >= free - 20
        assert hold_whole(small_disk / "shelf") == expected
        assert store.count() == len(expected)
        assert len(store.nearest(torch.eye(8)[:1], 500)[0]) == len(expected)
    assert shelf.open("one").fetch(["a-0"])["a-0"].content == "words 0"
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    store.upsert(big(number))
    store.optimise(silent)
    assert hold_whole(small_disk / "shelf") == expected | {
        one.document.id: number for one in big(number)
    }


def test_a_version_can_be_dropped_to_make_room(small_disk: Path) -> None:
    shelf = LanceShelf(small_disk / "shelf")
    store = shelf.create("one", LAYOUT)
    fill(store)
    fill_rest(small_disk)
    store.close()
    shelf.drop("one")
    assert shelf.versions() == []
    assert not (small_disk / "shelf" / "one").exists()


def test_a_limit_on_the_size_of_files_refuses_and_loses_nothing(
    tmp_path: Path,
) -> None:
    store = LanceShelf(tmp_path / "shelf").create("one", LAYOUT)
    store.upsert(written("a", 0))
    before = files(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreFull, match="File too large"):
            # Rows are taken out first, which takes little room, and then there is none.
            store.upsert([heavy(one, 40_000) for one in written("a", 0)[:6]])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == before
    store.upsert(big(1))
    assert store.count() == 24
