"""Whoever writes while an index is replaced: what was acknowledged is there."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doubles import LetterEncoder
from live_world import KINDS, OTHER, filled, held, live, new_shelf, text
from shelf import TEXTS

from nearfar.errors import BadSetting
from nearfar.records import Document
from nearfar.search.live_index import LiveIndex
from nearfar.search.reindexing import build_version, switch
from nearfar.stores.contract import Store
from nearfar.stores.memory import MemoryShelf, MemoryStore


class Acknowledged(threading.Thread):
    """Writes and deletes as fast as it can, and remembers what it was told is done."""

    def __init__(self, index: LiveIndex) -> None:
        super().__init__()
        self.index = index
        self.wanted = held(index)
        self.unsure: set[str] = set()  # refused: it may be there or not
        self.begun = threading.Event()  # a round is done

    def run(self) -> None:
        for number in range(100_000):
            own = text(number % 50 + 100, f"{TEXTS[number % 60]} {number}")
            gone = f"d{number % 70:02}"
            try:
                self.index.upsert([own])
            except BadSetting:
                self.unsure.add(own.id)
                break
            self.wanted[own.id] = own
            try:
                self.index.delete([gone])
            except BadSetting:
                self.unsure.add(gone)
                break
            self.wanted.pop(gone, None)
            self.begun.set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_beside_loses_nothing_that_was_acknowledged(kind: str, tmp_path: Path) -> None:
    shelf = new_shelf(kind, tmp_path)
    index = filled(shelf, LetterEncoder())
    writer = Acknowledged(LiveIndex.open(shelf, LetterEncoder()))
    writer.start()
    assert writer.begun.wait(60)
    new = LetterEncoder(OTHER)
    try:
        built = build_version(shelf, new)
        switch(shelf, built.version, new)
    finally:
        writer.join(60)
    assert not writer.is_alive()
    found = live(shelf, new)
    assert len(writer.unsure) == 1
    for name in (*found, *writer.wanted):
        if name not in writer.unsure:
            assert found.get(name) == writer.wanted.get(name)
    index.close()
    writer.index.close()


class Late(MemoryStore):
    """A store into which something is written at the worst moments."""

    def __init__(self, store: Store, write: Any) -> None:
        self._store, self._write = store, write

    def __getattribute__(self, name: str) -> Any:
        if name in ("_store", "_write", "scan"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_store"), name)

    def scan(self, after: str = "") -> Iterator[Document]:
        yield from self._store.scan(after)
        self._write()


def test_what_is_written_after_each_comparison_is_caught_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = MemoryShelf()
    index = filled(shelf, LetterEncoder())
    new = LetterEncoder(OTHER)
    build_version(shelf, new)
    said: list[str] = []

    def write() -> None:
        name = f"late{len(said)}"
        try:
            index.upsert([Document(id=name, content=name)])
            said.append(name)
        except BadSetting as error:
            said.append("about to go live" if "about to go live" in str(error) else "?")

    opened = shelf.open
    monkeypatch.setattr(shelf, "open", lambda v: Late(opened(v), write) if v == "v1" else opened(v))
    switch(shelf, "v2", new)
    assert said == ["late0", "about to go live"]
    assert live(shelf, new).keys() == {f"d{n:02}" for n in range(60)} | {"late0"}


@pytest.mark.parametrize("act", ["upsert", "delete"])
def test_a_write_that_the_closing_overtakes_is_not_acknowledged(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(MemoryShelf(), LetterEncoder())
    write = getattr(index.store, act)

    def overtaken(what: Any) -> Any:
        index.tell(replace(index.facts, state="closed"))
        return write(what)

    monkeypatch.setattr(index.store, act, overtaken)
    with pytest.raises(BadSetting, match=r"It may (not know the last|still know)"):
        index.upsert([text(80, "late")]) if act == "upsert" else index.delete(["d01"])
