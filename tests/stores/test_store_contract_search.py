"""Promises that every store keeps: what is asked is found, all of it, in its order."""

import random
from typing import Any, get_args

import pytest
import torch
from shelves import NewStore, entry, halves, named, slow_nearest, unit_rows

from nearfar.errors import BadSetting
from nearfar.progress import silent
from nearfar.records import Scalar
from nearfar.stores.contract import Entry, Layout, Store
from nearfar.stores.filters import Condition, Sign, matches

VALUES: dict[str, list[Scalar]] = {
    "lang": ["de", "de ", "DE", "", "é", "e\u0301", "a'b", 'a"b', "a\0b", "a", "👍", "\uffff", "%"],
    "year": [-(2**63), -1, 0, 2**53, 2**53 + 1, 2**63 - 1],
    "price": [-1e308, -0.5, -0.0, 0.1, 0.1 + 0.2, 0.3, 7, 5e-324],
    "open": [True, False],
}

LANGS = ("de", "en")


def filled(store: Store, rows: int = 300, seed: int = 0, lost: int = 0) -> list[Entry]:
    """Put documents in, some of them twice, in no order; return them as they stand."""
    put = [
        entry(f"{at:04}", row, f"{at} words of {at % 7}", {"year": at, "lang": LANGS[at % 2]})
        for at, row in enumerate(unit_rows(rows, seed=seed))
    ]
    random.Random(seed).shuffle(put)
    store.upsert([entry(one.document.id, -one.vectors[0]) for one in put[::3]])
    store.upsert(put)
    store.delete([one.document.id for one in put[:lost]])
    return put[lost:]


def hold(store: Store, put: list[Entry], k: int, *, seed: int = 1, **asked: Any) -> None:
    queries = unit_rows(5, seed=seed)
    found = store.nearest(queries, k, **asked)
    where = asked.get("where", ())
    for query, hits in zip(queries, found, strict=True):
        expected = slow_nearest(put, query, k, where, store.layout)
        assert named(hits) == [name for name, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([s for _, s in expected], abs=1e-5)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("k", [1, 10, 280, 1_000])
def test_the_nearest_are_those_of_a_loop_over_all(k: int, exact: bool, store: Store) -> None:
    hold(store, filled(store, lost=20), k, exact=exact)


@pytest.mark.parametrize("exact", [True, False])
def test_tidied_up_a_store_finds_the_same(exact: bool, store: Store) -> None:
    put = filled(store, lost=20)
    store.optimise(silent)
    hold(store, put, 10, exact=exact)
    more = [entry(f"{at:04}x", row) for at, row in enumerate(unit_rows(50, seed=9))]
    store.upsert(more)  # and what came after
    store.delete([one.document.id for one in put[:30]])
    hold(store, put[30:] + more, 10, exact=exact)
    store.optimise(silent)
    hold(store, put[30:] + more, 10, exact=exact)


def test_equals_stand_in_the_order_of_their_ids(store: Store) -> None:
    put = [entry(f"{at:03}", row) for at, row in enumerate(halves(200))]
    random.Random(0).shuffle(put)
    for start in range(0, 200, 70):  # whatever call they came with
        store.upsert(put[start : start + 70])
    for k in (1, 5, 13, 60, 200):
        for query, hits in zip(halves(4, seed=1), store.nearest(halves(4, seed=1), k, exact=True),
                               strict=True):  # fmt: skip
            expected = slow_nearest(put, query, k)
            assert [(hit.id, round(hit.score, 5)) for hit in hits] == expected


def test_equals_beyond_any_page_stand_in_the_order_of_their_ids(new: NewStore) -> None:
    store = new("equals", Layout(dim=48))
    names = [f"{at:04}" for at in range(2_500)]
    row, query = unit_rows(2, dim=48)  # their product has many digits, the same wherever it is made
    store.upsert([entry(name, row) for name in reversed(names)])
    store.optimise(silent)
    assert named(store.nearest(query[None], 5, exact=True)[0]) == names[:5]
    assert len(set(named(store.nearest(query[None], 5)[0]))) == 5


def test_a_document_is_found_once_by_its_best_piece(store: Store) -> None:
    dice = random.Random(0)
    put = [entry(f"{at:02}", unit_rows(dice.randint(1, 9), seed=at)) for at in range(60)]
    store.upsert(put)
    vectors = {one.document.id: one.vectors for one in put}
    for exact in (True, False, True):
        hold(store, put, 25, exact=exact)
        for hits, query in zip(store.nearest(unit_rows(3, seed=99), 60, exact=exact),
                               unit_rows(3, seed=99), strict=True):  # fmt: skip
            assert [hit.piece for hit in hits] == [
                int((vectors[h.id] @ query).argmax()) for h in hits
            ]
        store.optimise(silent)


@pytest.mark.parametrize("exact", [True, False])
def test_many_near_pieces_of_one_document_leave_room_for_others(exact: bool, store: Store) -> None:
    crowd = torch.nn.functional.normalize(torch.eye(4)[0] + 0.01 * unit_rows(300), dim=1)
    far = [entry(f"far{at}", row) for at, row in enumerate(-crowd[:4])]
    store.upsert([entry("crowd", crowd), entry("second", crowd[:200]), *far])
    store.optimise(silent)
    found = store.nearest(torch.eye(4)[:1], 6, exact=exact)[0]
    assert set(named(found)) == {"crowd", "second", "far0", "far1", "far2", "far3"}
    assert set(named(found[:2])) == {"crowd", "second"}


@pytest.mark.parametrize("sign", get_args(Sign))
@pytest.mark.parametrize("field", VALUES)
def test_each_sign_means_for_each_kind_what_it_means_in_a_loop(
    field: str, sign: Sign, store: Store
) -> None:
    values = VALUES[field]
    put = [entry(f"{at:02}", fields={field: value}) for at, value in enumerate(values)]
    put += [entry("other", fields={"outside": values[0]}), entry("without")]
    store.upsert(put)
    for value in values:
        where = (Condition(field, sign, (value,)),)
        expected = [one.document.id for one in put if matches(where, one.document.fields)]
        for exact in (True, False):
            found = store.nearest(torch.eye(4)[:1], 99, where=where, exact=exact)[0]
            assert sorted(named(found)) == expected, (value, exact)
        assert sorted(named(store.worded(["text"], 99, where=where)[0])) == expected, value


@pytest.mark.parametrize("field", VALUES)
def test_several_values_are_any_of_them_or_none_of_them(field: str, store: Store) -> None:
    values = VALUES[field]
    put = [entry(f"{at:02}", fields={field: value}) for at, value in enumerate(values)]
    put.append(entry("without"))
    store.upsert(put)
    some = tuple(values[::2])
    for sign in ("=", "!="):
        where = (Condition(field, sign, some),)
        expected = [one.document.id for one in put if matches(where, one.document.fields)]
        assert "without" not in expected
        assert sorted(named(store.nearest(torch.eye(4)[:1], 99, where=where)[0])) == expected
        assert sorted(named(store.worded(["text"], 99, where=where)[0])) == expected


def test_conditions_must_all_hold(store: Store) -> None:
    put = filled(store)
    where = (
        Condition("lang", "=", ("de",)),
        Condition("year", ">=", (50,)),
        Condition("year", "<", (200,)),
        Condition("year", "!=", (60, 62)),
    )
    for exact in (True, False):
        hold(store, put, 10, where=where, exact=exact)
        hold(store, put, 99, where=where, exact=exact)
    years = [Condition("year", ">", (250,)), Condition("year", "<", (250,))]
    assert store.nearest(unit_rows(1), 5, where=tuple(years)) == [[]]


@pytest.mark.parametrize("matching", [1, 7, 40])
def test_however_few_match_all_k_are_found(matching: int, new: NewStore) -> None:
    store = new("few", Layout(dim=16, fields={"rare": "truth"}))
    rows = unit_rows(2_000, dim=16)
    query = rows[:1]
    order = (rows @ query[0]).argsort()  # what matches is what lies furthest away
    rare = {int(at) for at in order[:matching]}
    put = [
        entry(f"{at:04}", row, fields={"rare": True} if at in rare else {})
        for at, row in enumerate(rows)
    ]
    store.upsert(put)
    where = (Condition("rare", "=", (True,)),)
    expected = [f"{int(at):04}" for at in order[:matching].flip(0)]
    for _ in range(2):
        for k in (1, 5, matching, 100):
            assert named(store.nearest(query, k, where=where)[0]) == expected[:k]
            assert named(store.nearest(query, k, where=where, exact=True)[0]) == expected[:k]
        store.optimise(silent)


AWKWARD = [
    "id", "content", "vector", "select", "a.b", 'ein "Feld"', "it's", "Größe", "Case", "case", "_",
    "x" * 70 + "1", "x" * 70 + "2", "1st", "a b", "%s", "`tick`", "score", "piece",
]  # fmt: skip


def test_a_field_may_have_any_name(new: NewStore) -> None:
    layout = Layout(dim=4, fields=dict.fromkeys(AWKWARD, "integer"))
    store = new("awkward", layout)
    assert store.layout == layout
    store.upsert([entry(f"{at:02}", fields={name: at}) for at, name in enumerate(AWKWARD)])
    store.upsert([entry("all", fields={name: 100 + at for at, name in enumerate(AWKWARD)})])
    for at, name in enumerate(AWKWARD):
        for value, expected in ((at, f"{at:02}"), (100 + at, "all")):
            where = (Condition(name, "=", (value,)),)
            assert named(store.nearest(torch.eye(4)[:1], 9, where=where)[0]) == [expected], name
    assert store.fetch(["all"])["all"].fields == {n: 100 + at for at, n in enumerate(AWKWARD)}


@pytest.mark.parametrize(
    ("field", "values"),
    [("nothing", ("x",)), ("lang", (1,)), ("year", ("1",)), ("year", (1.5,)), ("year", (2**63,)),
     ("price", (float("nan"),)), ("price", (10**400,)), ("open", (1,)), ("lang", ("\ud800",)),
     ("lang", ()), ("outside", (1,))],
    ids=str,
)  # fmt: skip
def test_a_condition_that_can_not_be_is_refused(
    field: str, values: tuple[Any, ...], store: Store
) -> None:
    store.upsert([entry("a", fields={"outside": 1})])
    where = (Condition("lang", "!=", ("x",)), Condition(field, "=", values))
    for search in (
        lambda: store.nearest(torch.eye(4)[:1], 1, where=where),
        lambda: store.nearest(torch.eye(4)[:1], 1, where=where, exact=True),
        lambda: store.worded(["a"], 1, where=where),
    ):
        with pytest.raises(BadSetting, match=field):
            search()
