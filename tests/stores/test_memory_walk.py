"""Whatever is done to the store in memory, in whatever order: it answers as a plain dict would."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shelves import LAYOUT, entry, halves, slow_nearest, slow_words, unit_rows

from nearfar.progress import silent
from nearfar.stores import memory, words_index
from nearfar.stores.contract import Entry, Found
from nearfar.stores.filters import Condition, Where
from nearfar.stores.memory import MemoryStore

WORDS = ["cat", "dog", "the", "a", "bird sings", "the the the", ""]
WHERES: list[Where] = [
    (),
    (Condition("lang", "=", ("de",)),),
    (Condition("lang", "!=", ("de", "en")),),
    (Condition("lang", ">", ("de",)), Condition("year", "<=", (3,))),
]
ASKED = ["cat", "the dog the", "bird absent"]
QUERIES = torch.cat([halves(2, seed=5), unit_rows(2, seed=6)])

rows = st.lists(
    st.one_of(
        st.integers(0, 15).map(lambda seed: halves(1, seed=seed)[0]),
        st.integers(0, 99).map(lambda seed: unit_rows(1, seed=seed)[0]),
    ),
    min_size=1,
    max_size=3,
).map(torch.stack)
fields = st.fixed_dictionaries(
    {}, optional={"lang": st.sampled_from(["de", "en", "fr"]), "year": st.integers(0, 6)}
)
entries = st.builds(
    entry,
    st.integers(0, 30).map(lambda number: f"{number * 7 % 31:02}"),
    rows,
    st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
    fields,
)
upserts = st.tuples(st.just("upsert"), st.lists(entries, max_size=12))
deletes = st.tuples(
    st.just("delete"), st.lists(st.integers(0, 30).map("{:02}".format), max_size=12)
)
steps = st.lists(st.one_of(upserts, upserts, deletes, st.just(("optimise", None))), max_size=12)
MANY = [entry(f"{at:02}", row, WORDS[at % 7]) for at, row in enumerate(unit_rows(31, seed=1))]


@pytest.fixture(autouse=True, scope="module")
def _everything_happens_early() -> Any:
    """Graphs of ten rows, segments of few pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_GRAPH_ROWS", 10)
        patch.setattr(words_index, "_PAIRS_MERGED", 40)
        yield


@settings(max_examples=20, deadline=None)
@given(steps)
@example(
    [("upsert", MANY), ("optimise", None), ("upsert", MANY[:9]), ("delete", ["11", "30"]),
     ("optimise", None), ("delete", [f"{at:02}" for at in range(31)]), ("optimise", None),
     ("upsert", MANY[3:])]
)  # fmt: skip
def test_a_walk_ends_where_a_plain_dict_does(walk: Sequence[tuple[str, Any]]) -> None:
    store, twin = MemoryStore(LAYOUT), dict[str, Entry]()
    for step, said in walk:
        if step == "upsert":
            store.upsert(said)
            twin |= {one.document.id: one for one in said}
        elif step == "delete":
            assert store.delete(said) == len(twin.keys() & set(said))
            twin = {name: one for name, one in twin.items() if name not in said}
        else:
            store.optimise(silent)
            if sum(len(one.vectors) for one in twin.values()) >= 10:
                assert store.pending() == 0
        assert len(store.nearest(QUERIES, 9)[0]) == min(9, len(twin))
    agree(store, twin)


def agree(store: MemoryStore, twin: dict[str, Entry]) -> None:
    assert store.count() == len(twin)
    assert list(store.scan()) == [twin[name].document for name in sorted(twin)]
    assert store.digests(twin) == {name: one.digest for name, one in twin.items()}
    for where in WHERES:
        expected = [slow_nearest(twin.values(), query, 40, where) for query in QUERIES]
        said = [slow_words(twin.values(), query, 40, where) for query in ASKED]
        for k in (1, 4, 40):
            for exact in (True, False):
                for place, hits in enumerate(store.nearest(QUERIES, k, where=where, exact=exact)):
                    same(hits, expected[place][:k], order=exact)
                    for hit in hits:
                        own = (twin[hit.id].vectors @ QUERIES[place]).tolist()
                        assert own[hit.piece] == pytest.approx(max(own), abs=1e-6)
            for hits, best in zip(store.worded(ASKED, k, where=where), said, strict=True):
                same(hits, best[:k], order=False)


def same(hits: Sequence[Found], expected: list[tuple[str, float]], *, order: bool) -> None:
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-6)
    assert len({hit.id for hit in hits}) == len(hits)
    if order:
        assert [hit.id for hit in hits] == [name for name, _ in expected]
