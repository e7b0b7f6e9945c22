"""What upkeep promises: searches that find the same, a disk that does not grow, nobody waiting."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lance_child import LAYOUT as CHILD_LAYOUT
from lance_child import written
from lance_files import table
from shelves import entry, named, slow_nearest, unit_rows

from nearfar.progress import silent
from nearfar.stores import lance_disk
from nearfar.stores.contract import Entry, Layout
from nearfar.stores.filters import Condition
from nearfar.stores.lance import LanceShelf
from nearfar.stores.lance_store import LanceStore
from nearfar.stores.lance_upkeep import Sizes

lance = pytest.importorskip("lance")

DIM = 16
LAYOUT = Layout(dim=DIM, fields={"shelf": "integer"})
KINDS = {"IVF_FLAT": Sizes(parted=1_000), "IVF_HNSW_SQ": Sizes(parted=500, graphs=1_000)}


def clustered(rows: int, seed: int = 0) -> torch.Tensor:
    centres = unit_rows(40, DIM, seed=7)
    around = centres[torch.randint(40, (rows,), generator=torch.Generator().manual_seed(seed))]
    return torch.nn.functional.normalize(around + 0.5 * unit_rows(rows, DIM, seed=seed), dim=1)


def some(first: int, last: int) -> list[Entry]:
    return [
        entry(f"{at:05}", row, f"words {at}", {"shelf": at % 100})
        for at, row in zip(range(first, last), clustered(last - first, seed=first), strict=True)
    ]


def kind_of(folder: Path) -> tuple[str, int]:
    """Return the index of vectors, and of how many parts it is made."""
    found = lance.dataset(str(table(folder))).describe_indices()
    of_vectors = [one for one in found if one.name == "vectors"]
    return (of_vectors[0].index_type, len(of_vectors[0].segments)) if of_vectors else ("", 0)


def hold(store: LanceStore, put: list[Entry], *, share: float = 0.99) -> None:
    """Hold that what is found are the nearest, nearly always, and the scores their cosines."""
    queries = clustered(30, seed=99)
    last = {one.document.id: one.vectors[0] for one in put}
    ids, cosines = list(last), queries.double() @ torch.stack(list(last.values())).double().T
    right = 0
    for row, hits in zip(cosines, store.nearest(queries, 10), strict=True):
        best = {ids[at] for at in row.topk(10).indices.tolist()}
        right += len(best & set(named(hits)))
        assert len(set(named(hits))) == 10
        for hit in hits:
            assert hit.score == pytest.approx(row[ids.index(hit.id)].item(), abs=1e-5)
    assert right >= share * 300


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_finds_what_all_vectors_would_also_after_changes(
    kind: str, tmp_path: Path
) -> None:
    store = LanceShelf(tmp_path, KINDS[kind]).create("one", LAYOUT)
    put = some(0, 2_000)
    store.upsert(put)
    assert (kind_of(tmp_path), store.pending()) == (("", 0), 2_000)
    store.optimise(silent)
    assert (kind_of(tmp_path), store.pending()) == ((kind, 1), 0)
    hold(store, put)
    changed = some(1_500, 2_300)  # other vectors under some of the same ids
    store.upsert(changed)
    store.delete([one.document.id for one in put[:100]])
    put = put[100:1_500] + changed
    assert store.pending() == 800
    hold(store, put)
    store.optimise(silent)
    assert (kind_of(tmp_path), store.pending()) == ((kind, 2), 0)
    hold(store, put)


@pytest.mark.slow
def test_an_index_is_built_anew_where_it_no_longer_fits(tmp_path: Path) -> None:
    store = LanceShelf(tmp_path, Sizes(parted=400, graphs=1_800)).create("one", LAYOUT)
    store.upsert(some(0, 300))
    store.optimise(silent)
    assert (kind_of(tmp_path), store.pending()) == (("", 0), 300)
    store.upsert(some(300, 400))
    store.optimise(silent)
    assert kind_of(tmp_path) == ("IVF_FLAT", 1)
    store.upsert(some(400, 1_000))
    store.optimise(silent)
    assert kind_of(tmp_path) == ("IVF_FLAT", 2)
    store.upsert(some(1_000, 1_700))  # more than four times what it was built of
    store.optimise(silent)
    assert kind_of(tmp_path) == ("IVF_FLAT", 1)
    store.upsert(some(1_700, 1_800))
    store.optimise(silent)
    assert (kind_of(tmp_path), store.pending()) == (("IVF_HNSW_SQ", 1), 0)
    for first in range(1_800, 1_890, 10):
        store.upsert(some(first, first + 10))
        store.optimise(silent)
    assert kind_of(tmp_path)[1] <= 9
    assert store.count() == 1_890


@pytest.mark.parametrize("kind", KINDS)
def test_through_an_index_too_never_fewer_than_k_are_found(kind: str, tmp_path: Path) -> None:
    store = LanceShelf(tmp_path, KINDS[kind]).create("one", LAYOUT)
    put = some(0, 1_500)
    crowd = torch.nn.functional.normalize(unit_rows(1, DIM) + 0.001 * unit_rows(500, DIM), dim=1)
    store.upsert([*put, entry("crowd", crowd, fields={"shelf": 1_000})])
    store.optimise(silent)
    assert kind_of(tmp_path)[0] == kind
    query = crowd[:1]
    assert named(store.nearest(query, 1)[0]) == ["crowd"]
    for k in (5, 300, 1_501, 5_000):  # behind 500 pieces of one document
        found = named(store.nearest(query, k)[0])
        assert len(found) == len(set(found)) == min(k, 1_501)
    for sign, value, matching in (("=", 7, 15), ("<", 2, 30), (">", 999, 1), ("=", 555, 0)):
        where = (Condition("shelf", sign, (value,)),)  # type: ignore[arg-type]
        for k in (3, 40):
            found = named(store.nearest(query, k, where=where)[0])
            assert len(found) == min(k, matching), (sign, value, k)
    where = (Condition("shelf", "=", (7,)),)
    expected = [name for name, _ in slow_nearest(put, query[0], 15, where, LAYOUT)]
    assert named(store.nearest(query, 40, where=where)[0]) == expected


def test_exact_passes_the_index_by(tmp_path: Path) -> None:
    store = LanceShelf(tmp_path, Sizes(parted=1_000)).create("one", LAYOUT)
    store.upsert(some(0, 1_000))
    store.optimise(silent)
    for index in (table(tmp_path) / "_indices").glob("*/auxiliary.idx"):
        index.write_bytes(b"")
    again = LanceShelf(tmp_path).open("one")
    queries = clustered(3, seed=5)
    expected = [slow_nearest(some(0, 1_000), query, 5, (), LAYOUT) for query in queries]
    found = again.nearest(queries, 5, exact=True)
    assert [named(hits) for hits in found] == [[name for name, _ in one] for one in expected]


def test_many_writes_become_few_files(tmp_path: Path) -> None:
    store = LanceShelf(tmp_path).create("one", CHILD_LAYOUT)
    for number in range(30):
        store.upsert(written("a", number))
    store.optimise(silent)
    assert len(list((table(tmp_path) / "data").iterdir())) <= 8
    assert len(list((table(tmp_path) / "_versions").glob("*.manifest"))) == 1


@pytest.mark.parametrize(
    ("rounds", "parted"), [pytest.param(50, 10_000, marks=pytest.mark.slow), (5, 150)]
)
def test_the_disk_does_not_grow_with_what_is_replaced(
    rounds: int, parted: int, tmp_path: Path
) -> None:
    store = LanceShelf(tmp_path, Sizes(parted=parted)).create("one", LAYOUT)
    sizes = []
    for seed in range(rounds):
        rows = clustered(150, seed)
        store.upsert([entry(f"{at:03}", row, f"words {at} " * 20) for at, row in enumerate(rows)])
        store.optimise(silent)
        sizes.append(sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()))
    assert max(sizes) < 2 * sizes[0]
    assert store.count() == 150


def test_a_state_with_a_tag_outlives_upkeep(tmp_path: Path) -> None:
    store = LanceShelf(tmp_path).create("one", CHILD_LAYOUT)
    store.upsert(written("a", 0))
    tagged = lance.dataset(str(table(tmp_path)))
    tagged.tags.create("release", tagged.version)
    for number in range(1, 20):
        store.upsert(written("a", number))
    store.delete([f"a-{at}" for at in range(12)])
    store.optimise(silent)
    held = lance.dataset(str(table(tmp_path)), version="release").to_table()
    assert {row["id"] for row in held.to_pylist()} == {f"a-{at}" for at in range(12)}
    assert len(list((table(tmp_path) / "_versions").glob("*.manifest"))) == 2
    assert store.count() == 120 + 6 - 12


class Paused:
    """Progress of upkeep that stops at a step until it is told to go on."""

    def __init__(self, step: int) -> None:
        self.step, self.there, self.on = step, threading.Event(), threading.Event()

    def __call__(self, what: str, done: int, total: int | None, note: str = "") -> None:
        if done == self.step:
            self.there.set()
            assert self.on.wait(60)


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[tuple[LanceStore, LanceStore, Any]]:
    """A store, the same opened again, and what begins upkeep beside them and pauses it."""
    shelf = LanceShelf(tmp_path, Sizes(parted=36))
    store, threads = shelf.create("one", CHILD_LAYOUT), []
    for number in range(12):
        store.upsert(written("a", number))

    def begin(step: int) -> Paused:
        paused = Paused(step)
        threads.append((threading.Thread(target=store.optimise, args=(paused,)), paused))
        threads[-1][0].start()
        assert paused.there.wait(60)
        return paused

    yield store, shelf.open("one"), begin
    for thread, paused in threads:
        paused.on.set()
        thread.join(60)
        assert not thread.is_alive()


def test_while_an_index_is_built_others_write(beside: tuple[LanceStore, LanceStore, Any]) -> None:
    store, other, begin = beside
    paused = begin(2)
    other.upsert(written("b", 0))
    assert other.delete(["a-0"]) == 1
    paused.on.set()
    begin(4)
    assert store.count() == other.count() == 78 + 12 - 1
    assert len(store.nearest(torch.eye(8)[:1], 100)[0]) == 89


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_who_reads_beside_upkeep_finds_all(
    step: int, beside: tuple[LanceStore, LanceStore, Any]
) -> None:
    _, other, begin = beside
    scan = other.scan()
    first = next(scan)
    begin(step)
    assert {first.id, *(one.id for one in scan)} == {f"a-{at}" for at in range(78)}
    assert other.count() == len(other.nearest(torch.eye(8)[:1], 100)[0]) == 78
    assert named(other.worded(["11"], 99)[0]) == sorted(f"a-{at}" for at in range(66, 78))


def test_a_state_that_was_removed_as_it_was_asked_is_asked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = LanceShelf(tmp_path)
    store, other = shelf.create("one", CHILD_LAYOUT), shelf.open("one")
    store.upsert(written("a", 0))
    assert other.count() == 12
    asked = []

    def ask(dataset: Any) -> int:
        if not asked:  # another process writes and tidies up just now
            store.delete([f"a-{at}" for at in range(11)])
            store.optimise(silent)
        asked.append(dataset.version)
        return dataset.to_table(columns=["content"]).num_rows

    assert other._read(ask) == 3
    assert len(asked) == 2


def test_upkeep_waits_for_no_one_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LanceShelf(tmp_path).create("one", CHILD_LAYOUT)
    monkeypatch.setattr(lance_disk, "_WAIT_SECONDS", 0.05)
    with lance_disk.writing(tmp_path / "one"):
        for work in (lambda: store.upsert(written("a", 0)), lambda: store.optimise(silent)):
            with pytest.raises(lance_disk.BadFile, match=r"has been writing to .* hangs"):
                work()
    store.upsert(written("a", 0))
