"""The store in memory: its graph, its words, what stands beside a writer, and no room left."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from shelves import contents, entry, halves, named, slow_nearest, unit_rows

from nearfar.errors import StoreFull
from nearfar.progress import silent
from nearfar.stores import memory
from nearfar.stores.contract import Entry, Layout
from nearfar.stores.filters import Condition
from nearfar.stores.memory import MemoryStore
from nearfar.stores.words_index import Words

LAYOUT = Layout(dim=24, fields={"tenth": "integer"})


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is made of 500 rows and more."""
    monkeypatch.setattr(memory, "_GRAPH_ROWS", 500)


def crowd(rows: int, seed: int = 0, prefix: str = "") -> list[Entry]:
    """Documents in clusters, as real ones are, of two pieces each."""
    centres = unit_rows(40, dim=24, seed=99)[torch.arange(rows) % 40]
    vectors = torch.stack([centres + 0.3 * unit_rows(rows, 24, seed + s) for s in (0, 1)], dim=1)
    vectors = torch.nn.functional.normalize(vectors, dim=2)
    return [
        entry(f"{prefix}{at:05}", pieces, fields={"tenth": at % 10})
        for at, pieces in enumerate(vectors)
    ]


def recall(store: MemoryStore, k: int = 10, **asked: Any) -> float:
    """Return the share of the nearest that are found, and see that there are k."""
    queries = torch.cat([one.vectors[:1] for one in crowd(40, seed=7)])
    right = store.nearest(queries, k, exact=True, **asked)
    found = store.nearest(queries, k, **asked)
    assert [len(hits) for hits in found] == [len(hits) for hits in right]
    for hits, best in zip(found, right, strict=True):
        scores = {hit.id: hit.score for hit in best}
        assert all(hit.score == scores.get(hit.id, hit.score) for hit in hits)  # exact all the same
    hits_found = [set(named(a)) & set(named(b)) for a, b in zip(found, right, strict=True)]
    return sum(map(len, hits_found)) / sum(map(len, right))


@pytest.fixture
def large(graphs: None) -> MemoryStore:
    store = MemoryStore(LAYOUT)
    store.upsert(crowd(1_500))
    assert store.pending() == 3_000
    store.optimise(silent)
    assert store.pending() == 0
    return store


def test_a_graph_finds_what_is_near(large: MemoryStore) -> None:
    assert recall(large) >= 0.99
    assert recall(large, k=100) >= 0.99
    assert recall(large, k=5_000) == 1


@pytest.mark.parametrize("tenths", [1, 2, 5, 9])
def test_a_graph_is_narrowed_and_finds_as_many(tenths: int, large: MemoryStore) -> None:
    where = (Condition("tenth", "<", (tenths,)),)
    assert recall(large, where=where) >= 0.99
    assert recall(large, k=400, where=where) >= 0.99


def test_where_pieces_of_one_document_fill_the_graph_s_answer_others_are_found(
    graphs: None,
) -> None:
    store = MemoryStore(LAYOUT)
    pieces = torch.nn.functional.normalize(torch.eye(24)[0] + 0.01 * unit_rows(600, 24), dim=1)
    others = [entry(f"{at:02}", row) for at, row in enumerate(-pieces[:40])]
    store.upsert([entry("crowd", pieces), *others])
    store.optimise(silent)
    found = store.nearest(torch.eye(24)[:1], 10)[0]
    assert (len(found), found[0].id) == (10, "crowd")
    assert found == store.nearest(torch.eye(24)[:1], 10, exact=True)[0]


def test_what_came_after_the_graph_is_found_and_what_went_is_not(large: MemoryStore) -> None:
    gone = [f"{at:05}" for at in range(0, 1_500, 12)]
    assert large.delete(gone) == len(gone)
    large.upsert(crowd(60, seed=50, prefix="new"))
    assert large.pending() == 120
    assert recall(large) >= 0.99
    hits = large.nearest(torch.cat([one.vectors for one in crowd(60, seed=50)]), 20)
    assert all({f"new{at // 2:05}"} <= set(named(some)) for at, some in enumerate(hits))
    assert not {hit.id for some in hits for hit in some} & set(gone)
    large.optimise(silent)  # the graph takes them in
    assert (large.pending(), recall(large) >= 0.99) == (0, True)
    large.delete([f"{at:05}" for at in range(0, 1_500, 5)])  # and now it is made anew
    large.optimise(silent)
    assert (large.pending(), recall(large) >= 0.99) == (0, True)
    assert large.count() == 1_500 + 60 - len({*range(0, 1_500, 12), *range(0, 1_500, 5)})


def test_writes_go_on_while_a_graph_is_built(graphs: None) -> None:
    store = MemoryStore(LAYOUT)
    store.upsert(crowd(400))
    said = []

    def write(what: str, done: int, total: int | None, note: str = "") -> None:
        said.append((what, done, total))
        store.upsert([entry(f"beside {len(said)}", unit_rows(1, 24)[0])])
        store.delete(["00000"])

    store.optimise(write)
    assert said == [("index vectors", 0, 800), ("index vectors", 800, 800)]
    assert (store.count(), store.pending()) == (401, 2)
    assert set(named(store.nearest(unit_rows(1, 24), 2)[0])) == {"beside 1", "beside 2"}


def test_without_the_library_every_search_is_exact(
    graphs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    store = MemoryStore(LAYOUT)
    store.upsert(crowd(300))
    store.optimise(silent)
    assert (store.pending(), recall(store)) == (600, 1)


def test_searches_beside_graphs_and_writes_are_whole(large: MemoryStore) -> None:
    queries = unit_rows(3, 24)

    def search() -> None:
        for _ in range(20):
            assert [len(hits) for hits in large.nearest(queries, 1_500)] == [1_500] * 3
            assert {len(set(named(hits))) for hits in large.nearest(queries, 30)} == {30}
            assert len(large.worded(["text"], 9_999)[0]) == 1_500

    with ThreadPoolExecutor(2) as pool:
        searching = [pool.submit(search) for _ in range(2)]
        turn = 0
        while not all(one.done() for one in searching):
            turn += 1
            large.upsert(crowd(200, seed=turn))
            large.optimise(silent)
        for one in searching:
            one.result()


def test_only_what_is_there_takes_room(graphs: None) -> None:
    store = MemoryStore(LAYOUT)
    for turn in range(30):
        store.upsert(crowd(20, seed=turn))
        store.optimise(silent)
    assert len(store._view.ids) <= 23
    assert len(store._view.vectors) <= 46
    assert len(store._view.fields["tenth"].values) <= 23


class _NoRoom:
    """Memory that ends: the n-th array that is asked for is refused."""

    def __init__(self, left: int) -> None:
        self.left, self.made = left, np.empty

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise MemoryError
        return self.made(*args, **options)


@pytest.mark.parametrize("left", range(5))
def test_where_there_is_no_room_nothing_of_the_call_is_kept_and_nothing_lost(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(LAYOUT)
    put = crowd(40)
    store.upsert(put)
    more = [*crowd(70, seed=5, prefix="new"), entry("00001", -put[1].vectors, "other words")]
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", _NoRoom(left))
        with pytest.raises(StoreFull, match="71 more documents beside 40"):
            store.upsert(more)
    for after in ([], [entry("last", unit_rows(1, 24)[0])], more):
        store.upsert(after)
        put = [*put, *after]
        for query, hits in zip(unit_rows(3, 24, 1), store.nearest(unit_rows(3, 24, 1), 9),
                               strict=True):  # fmt: skip
            expected = slow_nearest(put, query, 9, layout=LAYOUT)
            assert named(hits) == [name for name, _ in expected]
        texts = {one.document.id: one.document.content for one in put}
        assert contents(store) == dict(sorted(texts.items()))
    assert named(store.worded(["other"], 9)[0]) == ["00001"]


def test_caller_s_slips_are_told(large: MemoryStore) -> None:
    for search in (
        lambda: large.nearest(unit_rows(1, 24), 0),
        lambda: large.nearest(unit_rows(1, 24), 0, exact=True),
        lambda: large.worded(["text"], 0),
    ):
        with pytest.raises(ValueError, match="k must be"):
            search()
    for exact in (True, False):
        with pytest.raises(ValueError, match="23 dimensions"):
            large.nearest(unit_rows(1, 23), 1, exact=exact)
    lonely = Entry(entry("a").document, "", torch.empty(0, 24), ())
    with pytest.raises(ValueError, match="0 vectors"):
        large.upsert([lonely])


def test_words_that_come_one_by_one_stand_in_few_segments() -> None:
    words = Words({})
    for at in range(400):
        words = words.added([f"word{at % 50} and the {at}"])
    assert len(words.segments) < 12
    alive = np.ones(400, np.bool_)
    at_once = Words({}).added([f"word{at % 50} and the {at}" for at in range(400)])
    for query in ("the", "word7 399", "absent"):
        np.testing.assert_allclose(words.scores(query, alive), at_once.scores(query, alive))


def test_exact_scores_are_those_of_halves() -> None:
    store = MemoryStore(Layout(dim=4))
    store.upsert([entry(f"{at}", row) for at, row in enumerate(halves(50))])
    scores = {hit.score for hits in store.nearest(halves(4, 1), 50, exact=True) for hit in hits}
    assert scores <= {-1, -0.5, 0, 0.5, 1}
