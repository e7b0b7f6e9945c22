"""Promises that every shelf keeps: versions side by side, one of them live; threads; restarts."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import torch
from shelves import LAYOUT, NewStore, Place, contents, entry, named, unit_rows

from nearfar.errors import BadFile, BadSetting
from nearfar.progress import silent
from nearfar.stores.contract import Layout, Shelf, Store
from nearfar.stores.filters import Condition

Reopen = Callable[[], Shelf]
BAD_NAMES = [
    "",
    "A",
    "a b",
    "ä",
    "a" * 49,
    "../a",
    "a/b",
    "a.b",
    "a;",
    'a"',
    "a\n",
    "\0",
    "a\ud800",
]


def test_an_empty_shelf_has_no_versions(shelf: Shelf) -> None:
    assert shelf.versions() == []
    assert shelf.live() is None


def test_versions_stand_in_the_order_they_were_made(shelf: Shelf, new: NewStore) -> None:
    names = ["z", "a", "0-_", "m" * 48, "b"]
    for name in names:
        new(name)
    assert shelf.versions() == names
    assert shelf.live() is None


def test_versions_do_not_mix(shelf: Shelf, new: NewStore) -> None:
    one, two = new("one"), new("two", Layout(dim=3, fields={"lang": "integer"}))
    one.upsert([entry("a", content="cat")])
    two.upsert([entry("a", (0.0, 1.0, 0.0), content="dog", fields={"lang": 1})])
    one.tell({"of": "one"})
    assert (contents(one), contents(two)) == ({"a": "cat"}, {"a": "dog"})
    assert (one.worded(["dog"], 9), dict(two.facts)) == ([[]], {})
    assert two.delete(["a"]) == 1
    assert one.count() == 1


def test_a_version_that_is_open_twice_is_one(shelf: Shelf, store: Store) -> None:
    other = shelf.open("one")
    store.upsert([entry("a", fields={"lang": "de"}), entry("b")])
    assert other.count() == 2
    assert contents(other) == contents(store)
    assert other.layout == LAYOUT
    other.delete(["a"])
    other.tell({"who": "other"})
    assert (contents(store), dict(store.facts)) == ({"b": "text of b"}, {"who": "other"})
    other.close()
    assert store.count() == 1  # each is closed for itself


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_can_not_be_is_refused(name: str, shelf: Shelf) -> None:
    with pytest.raises(BadSetting):
        shelf.create(name, LAYOUT)
    with pytest.raises(BadFile):
        shelf.open(name)
    with pytest.raises(BadSetting):
        shelf.switch(name, None)
    with pytest.raises(BadSetting):
        shelf.drop(name)
    assert shelf.versions() == []


def test_a_name_is_taken_once(shelf: Shelf, store: Store) -> None:
    store.upsert([entry("a")])
    with pytest.raises(BadSetting, match="one"):
        shelf.create("one", Layout(dim=9))
    assert (shelf.versions(), store.count(), shelf.open("one").layout) == (["one"], 1, LAYOUT)


def test_what_is_not_there_can_not_be_opened(shelf: Shelf, store: Store) -> None:
    with pytest.raises(BadFile, match="two"):
        shelf.open("two")


def test_a_switch_is_made_by_who_knows_what_is_live(shelf: Shelf, new: NewStore) -> None:
    for name in ("one", "two"):
        new(name)
    with pytest.raises(BadSetting, match="one"):
        shelf.switch("two", "one")  # nothing is live yet
    assert shelf.live() is None
    shelf.switch("one", None)
    assert shelf.live() == "one"
    for expected in (None, "two", "three"):
        with pytest.raises(BadSetting, match="one"):
            shelf.switch("two", expected)
        assert shelf.live() == "one"
    shelf.switch("two", "one")
    shelf.switch("one", "two")  # and back
    assert shelf.live() == "one"
    shelf.switch("one", "one")
    with pytest.raises(BadSetting, match="three"):
        shelf.switch("three", "one")
    assert shelf.live() == "one"
    assert shelf.versions() == ["one", "two"]


def test_of_many_who_switch_at_once_one_does(shelf: Shelf, new: NewStore, reopen: Reopen) -> None:
    names = [f"v{at}" for at in range(4)]
    for name in names:
        new(name)
    gate = threading.Barrier(4, timeout=60)

    def switch(name: str) -> bool:
        gate.wait()
        try:
            shelf.switch(name, None)
        except BadSetting:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(switch, names))
    assert sum(done) == 1
    assert shelf.live() == names[done.index(True)]


def test_what_is_live_is_not_dropped(shelf: Shelf, new: NewStore) -> None:
    for name in ("one", "two"):
        new(name).upsert([entry("a")])
    shelf.switch("one", None)
    with pytest.raises(BadSetting, match="one"):
        shelf.drop("one")
    assert shelf.open("one").count() == 1
    shelf.drop("two")
    assert shelf.versions() == ["one"]
    for refused, error in ((shelf.drop, BadSetting), (shelf.open, BadFile)):
        with pytest.raises(error, match="two"):
            refused("two")
    with pytest.raises(BadSetting, match="two"):
        shelf.switch("two", "one")


def test_who_reads_what_is_dropped_reads_on(shelf: Shelf, store: Store) -> None:
    store.upsert([entry(name, row) for name, row in zip("abc", unit_rows(3), strict=True)])
    before = store.nearest(unit_rows(1), 3)
    reader = shelf.open("one")
    shelf.drop("one")
    assert shelf.versions() == []
    for some in (store, reader):
        assert some.nearest(unit_rows(1), 3) == before
        assert list(contents(some)) == ["a", "b", "c"]
        assert some.fetch(["b"])["b"].content == "text of b"
        assert len(some.worded(["text"], 3)[0]) == 3
    reader.close()


def test_a_name_that_was_dropped_can_be_given_again(shelf: Shelf, new: NewStore) -> None:
    first = new("one")
    first.upsert([entry("a")])
    first.close()
    shelf.drop("one")
    second = new("one", Layout(dim=2))
    assert (second.count(), second.layout.dim, shelf.versions()) == (0, 2, ["one"])


def test_closed_and_opened_again_all_is_there(
    place: Place, shelf: Shelf, new: NewStore, reopen: Reopen
) -> None:
    if not place.durable:
        assert "durable" in (type(shelf).__doc__ or "")  # it says that it is not
        new("one").upsert([entry("a")])
        assert reopen().versions() == []
        return
    store = new("one")
    put = [entry(f"{at:02}", row, fields={"year": at}) for at, row in enumerate(unit_rows(30))]
    store.upsert(put)
    store.delete(["07"])
    store.tell({"space": "x"})
    new("two", Layout(dim=3, words=False))
    shelf.switch("one", None)
    asked = {"where": (Condition("year", "<", (20,)),)}
    for _ in range(2):
        expected = (
            list(store.scan()), store.nearest(unit_rows(2, seed=1), 9, exact=True),
            store.nearest(unit_rows(2, seed=1), 9, **asked), store.worded(["text", "05"], 9),
            store.digests(["01"]), dict(store.facts), store.layout, store.count(),
        )  # fmt: skip
        store.close()
        other = reopen()
        assert (other.versions(), other.live()) == (["one", "two"], "one")
        store = other.open("one")
        found = (
            list(store.scan()), store.nearest(unit_rows(2, seed=1), 9, exact=True),
            store.nearest(unit_rows(2, seed=1), 9, **asked), store.worded(["text", "05"], 9),
            store.digests(["01"]), dict(store.facts), store.layout, store.count(),
        )  # fmt: skip
        assert found == expected
        store.optimise(silent)
    store.close()


IDS = [f"{at}" for at in range(9)]


@pytest.fixture
def written(store: Store) -> Iterator[Store]:
    """A store in which every document is replaced again and again, whole, by another thread."""
    axes = torch.eye(4)

    def put(turn: int) -> None:
        word = ("cat", "dog")[turn % 2]
        fields = {"lang": word, "year": turn, "outside": turn}
        store.upsert([entry(name, axes[turn % 2], f"{word} {turn}", fields) for name in IDS])

    put(0)
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            put(turn)
            if turn % 5 == 0:
                store.optimise(silent)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        yield store
        stop.set()
        wait([writing], timeout=60)
        writing.result()


def test_who_reads_while_another_writes_sees_whole_documents(written: Store) -> None:
    def read(seed: int) -> None:
        for _ in range(12):
            for document in [*written.scan(), *written.fetch(IDS).values()]:
                word, turn = document.content.split()
                assert (document.fields["lang"], document.fields["outside"]) == (word, int(turn))
                assert document.fields["year"] == int(turn)
            assert [one.id for one in written.scan()] == IDS
            assert set(written.fetch(IDS)) == set(written.digests(IDS)) == set(IDS)
            assert written.count() == len(IDS)
            for exact in (True, False):
                hits = written.nearest(torch.eye(4)[:2], 20, exact=exact)
                assert [sorted(named(some)) for some in hits] == [IDS, IDS]
            hits = written.worded(["cat dog"], 20)
            assert sorted(named(hits[0])) == IDS

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read, seed) for seed in range(2)]
        for one in reading:
            one.result(timeout=120)


def test_many_who_write_at_once_lose_nothing(store: Store) -> None:
    def write(who: int) -> None:
        for at in range(5):
            store.upsert([entry(f"{who}-{at}"), entry("shared", content=f"by {who}")])
        assert store.delete([f"{who}-0"]) == 1

    with ThreadPoolExecutor(3) as pool:
        for one in [pool.submit(write, who) for who in range(3)]:
            one.result(timeout=120)
    assert sorted(contents(store)) == [
        *(f"{w}-{at}" for w in range(3) for at in range(1, 5)),
        "shared",
    ]
