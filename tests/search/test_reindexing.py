"""Blue and green: a new model takes the place of the old one, and no acknowledged write is lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from doubles import LETTERS, LetterEncoder
from live_world import DOCUMENTS, KINDS, OTHER, Counting, filled, held, live, new_shelf, text
from shelf import QUERIES

from nearfar.errors import BadFile, BadSetting, SpaceMismatch
from nearfar.records import Document
from nearfar.search.live_index import LiveIndex
from nearfar.search.reindexing import (
    build_version,
    former_version,
    newest_version,
    rollback,
    switch,
)
from nearfar.stores.contract import Shelf
from nearfar.stores.memory import MemoryShelf


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return new_shelf(request.param, tmp_path)


def test_a_version_with_another_model_takes_the_place_and_gives_it_back(shelf: Shelf) -> None:
    old = filled(shelf, LetterEncoder())
    before = old.search(QUERIES)
    new = LetterEncoder(OTHER)
    built = build_version(shelf, new, model="other", made_at="2026-01-02")
    assert (shelf.live(), built.version, newest_version(shelf)) == ("v1", "v2", "v2")
    assert held(built) == held(old)
    assert (built.facts.model, built.facts.former, built.facts.state) == ("other", "v1", "open")
    late = [replace(DOCUMENTS[0], content="written meanwhile"), text(77, "new meanwhile")]
    old.upsert(late)
    old.delete(["d05"])
    done = switch(shelf, "v2", new)
    assert done.embedded == 2
    assert (shelf.live(), former_version(shelf)) == ("v2", "v1")
    assert live(shelf, new) == held(old)
    assert len(old.search(QUERIES)) == len(before)  # who had it open goes on
    now = LiveIndex.open(shelf, new)
    now.upsert([text(78, "since")])
    now.delete(["d06"])
    wanted = held(now)
    assert rollback(shelf, LetterEncoder()) == "v1"
    assert live(shelf, LetterEncoder()) == wanted
    assert (shelf.live(), former_version(shelf), newest_version(shelf)) == ("v1", "v2", "v2")
    for index in (old, built, now):
        index.close()


class Interrupted(Counting):
    most = 2_200


def test_a_build_that_was_killed_goes_on_where_it_was() -> None:
    shelf = MemoryShelf()
    old = LiveIndex.create(shelf, LetterEncoder())
    documents = [Document(id=f"{n:05}", content=f"text {n}") for n in range(3_000)]
    old.upsert(documents)
    with pytest.raises(KeyboardInterrupt):
        build_version(shelf, Interrupted(OTHER))
    assert shelf.versions() == ["v1", "v2"]
    with pytest.raises(BadSetting, match="built to its end, found 'v2' under way"):
        switch(shelf, "v2", LetterEncoder(OTHER))
    old.upsert([replace(documents[3], content="behind what was copied")])
    again = Counting(OTHER)
    built = build_version(shelf, again)
    assert (built.version, built.count(), len(again.embedded)) == ("v2", 3_000, 952)
    assert switch(shelf, "v2", again).embedded == 1
    assert live(shelf, again)["00003"].content == "behind what was copied"
    old.close()
    built.close()


def test_a_version_that_ended_before_its_first_word_is_gone_on_with() -> None:
    shelf = MemoryShelf()
    old = filled(shelf, LetterEncoder())
    shelf.create("v2", old.store.layout)
    assert newest(shelf) is None
    assert build_version(shelf, LetterEncoder(OTHER)).version == "v2"


def newest(shelf: Shelf) -> str | None:
    try:
        return newest_version(shelf)
    except BadSetting:
        return None


def test_another_model_is_another_version() -> None:
    shelf = MemoryShelf()
    filled(shelf, LetterEncoder())

    class Stopped(Counting):
        most = 0

    with pytest.raises(KeyboardInterrupt):
        build_version(shelf, Stopped(OTHER))
    third = LetterEncoder(replace(LETTERS, weights="third"))
    assert build_version(shelf, third).version == "v3"


def test_a_writer_that_has_the_old_version_is_told() -> None:
    shelf = MemoryShelf()
    old = filled(shelf, LetterEncoder())
    build_version(shelf, LetterEncoder(OTHER)).close()
    switch(shelf, "v2", LetterEncoder(OTHER))
    with pytest.raises(BadSetting, match=r"takes no writes: .*'v2' is live by now\. Nothing"):
        old.upsert([text(99, "too late")])
    with pytest.raises(BadSetting, match="Nothing was deleted"):
        old.delete(["d01"])
    assert "d99" not in live(shelf, LetterEncoder(OTHER))
    old.close()


def test_a_switch_that_fails_leaves_the_live_version_as_it_was() -> None:
    shelf = MemoryShelf()
    index = filled(shelf, LetterEncoder())
    build_version(shelf, LetterEncoder(OTHER))
    index.upsert([text(80, "one more")])

    class Broken(Counting):
        most = 0

    with pytest.raises(KeyboardInterrupt):
        switch(shelf, "v2", Broken(OTHER))
    assert shelf.live() == "v1"
    index.upsert([text(81, "and one more")])
    assert switch(shelf, "v2", LetterEncoder(OTHER)).embedded == 2


def test_a_failure_after_the_closing_opens_the_live_version_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = MemoryShelf()
    index = filled(shelf, LetterEncoder())
    build_version(shelf, LetterEncoder(OTHER))
    states = []

    def fail(version: str, expected: str | None) -> None:
        states.append(index.facts.state)
        raise BadSetting("another one is live")

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "switch", fail)
        with pytest.raises(BadSetting, match="another one"):
            switch(shelf, "v2", LetterEncoder(OTHER))
    assert (states, index.facts.state) == (["closed"], "open")
    index.upsert([text(81, "goes on")])


def test_a_switch_that_was_killed_is_finished_by_the_next() -> None:
    shelf = MemoryShelf()
    index = filled(shelf, LetterEncoder())
    build_version(shelf, LetterEncoder(OTHER))
    index.tell(replace(index.facts, state="closed"))  # as the killed one left it
    with pytest.raises(BadSetting, match=r"about to go live in its place\. Nothing"):
        index.upsert([text(80, "refused")])
    switch(shelf, "v2", LetterEncoder(OTHER))
    LiveIndex.open(shelf, LetterEncoder(OTHER)).upsert([text(80, "taken")])


def test_what_cannot_be_switched_to_is_refused() -> None:
    shelf = MemoryShelf()
    with pytest.raises(BadFile, match="no version that is live"):
        build_version(shelf, LetterEncoder())
    filled(shelf, LetterEncoder())
    with pytest.raises(BadSetting, match="'v1' of the index is live already"):
        switch(shelf, "v1", LetterEncoder())
    with pytest.raises(BadFile):
        switch(shelf, "v7", LetterEncoder())
    with pytest.raises(BadSetting, match="nothing to go back to from version 'v1': none was live"):
        rollback(shelf, LetterEncoder())
    with pytest.raises(BadSetting, match="built beside 'v1', the live one, found none"):
        newest_version(shelf)
    build_version(shelf, LetterEncoder(OTHER))
    with pytest.raises(SpaceMismatch, match="weights"):
        switch(shelf, "v2", LetterEncoder())
    switch(shelf, "v2", LetterEncoder(OTHER))
    shelf.drop("v1")
    with pytest.raises(BadSetting, match="version 'v1' was removed"):
        rollback(shelf, LetterEncoder())
