"""Promises that every store keeps: what is put in comes back, whole and once, in order."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shelves import LAYOUT, NewStore, contents, entry, halves, kinds_of, unit_rows

from nearfar.errors import BadRecord
from nearfar.progress import silent
from nearfar.records import Document
from nearfar.stores.contract import Entry, Layout, Store

# Names and texts that break what escapes, orders, cuts or quotes them wrongly.
TEXTS = [
    "", " ", "plain", "a\0b", "\0", "👩‍👩‍👧 fine", "e\u0301 ≠ \u00e9",
    "'; DROP TABLE x; --", '"quoted"', "%s %% {} $1 :name ?", "back\\slash \\0 \\u0000",
    "\r\n\t\x01\x7f", "\ufeff\u2028\uffff",
    "x" * 100_000, "NULL", "null", "\U0010ffff",
]  # fmt: skip
IDS = [text for text in TEXTS if text and len(text) < 1_000] + ["ab", "aB", "a", "B", "ä", "é"]
HALF = "half of a pair: \ud83d"


def document(name: str = "d", **said: Any) -> Entry:
    one = entry(name)
    return replace(one, document=replace(one.document, **said))


def test_any_text_comes_back(store: Store) -> None:
    put = [
        document(
            f"{at:03}", content=text, group=text, source=text, fields={"lang": text, "x": text}
        )
        for at, text in enumerate(TEXTS)
    ]
    store.upsert(put)
    assert list(store.scan()) == [one.document for one in put]
    found = store.fetch(one.document.id for one in put)
    assert found == {one.document.id: one.document for one in put}


def test_any_id_is_kept_found_and_ordered_by_its_characters(store: Store) -> None:
    put = [entry(name, digest=f"digest {at}") for at, name in enumerate(IDS)]
    store.upsert(put)
    assert [one.id for one in store.scan()] == sorted(IDS)
    assert store.digests(IDS) == {name: f"digest {at}" for at, name in enumerate(IDS)}
    found = store.nearest(torch.eye(4)[:1], len(IDS), exact=True)[0]
    assert [hit.id for hit in found] == sorted(IDS)
    for after in ("a", "a\0b", "ab", "z"):
        assert [one.id for one in store.scan(after)] == sorted(n for n in IDS if n > after)
    assert store.delete(["a\0b"]) == 1
    assert store.delete(["'; DROP TABLE x; --"]) == 1
    assert store.count() == len(IDS) - 2
    assert "a\0b" not in store.fetch(IDS)


def test_any_field_comes_back_as_the_kind_it_was(store: Store) -> None:
    fields = {
        # in the layout
        "lang": "de", "year": -(2**63), "price": 0.1, "open": False,
        # and outside
        "truth": True, "one": 1, "one.0": 1.0, "text": "1", "huge": 2**200, "tiny": 5e-324,
        "minus": -0.0, "empty": "", "a\0b": "a\0b", "Größe": "👍", "inf": math.inf,
    }  # fmt: skip
    put = document(fields=fields)
    store.upsert([put, entry("none")])
    found = store.fetch(["d", "none"])
    assert found["d"] == put.document
    assert kinds_of(found["d"]) == kinds_of(put.document)
    assert math.copysign(1, float(found["d"].fields["minus"])) == -1
    assert found["none"].fields == {}
    assert kinds_of(next(store.scan())) == kinds_of(put.document)


def test_a_whole_number_may_stand_in_a_field_of_numbers_and_stays_whole(store: Store) -> None:
    store.upsert([document(fields={"price": 3})])
    found = store.fetch(["d"])["d"]
    assert (found.fields["price"], type(found.fields["price"])) == (3, int)


@pytest.mark.parametrize(
    "said",
    [
        {"id": HALF}, {"content": HALF}, {"group": HALF}, {"source": HALF},
        {"fields": {"lang": HALF}}, {"fields": {"outside": HALF}}, {"fields": {HALF: 1}},
    ],
    ids=str,
)  # fmt: skip
def test_half_a_character_is_no_text(said: dict[str, Any], store: Store) -> None:
    store.upsert([entry("kept")])
    with pytest.raises(BadRecord, match="surrogate") as refused:
        store.upsert([entry("good"), entry("kept", content="other"), document(**said)])
    assert str(refused.value).encode()  # the message itself can be printed
    assert contents(store) == {"kept": "text of kept"}


def test_a_document_without_an_id_is_refused(store: Store) -> None:
    with pytest.raises(BadRecord, match="empty id"):  # no scan would ever reach it
        store.upsert([entry("good"), document(id="")])
    assert store.count() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"lang": 1}, {"lang": True}, {"year": "1"}, {"year": 1.0}, {"year": True},
        {"year": 2**63}, {"price": "1"}, {"price": False}, {"price": math.nan},
        {"price": math.inf}, {"open": 1}, {"open": "true"},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_of_another_kind_is_refused_and_nothing_kept(
    fields: dict[str, Any], store: Store
) -> None:
    store.upsert([entry("kept", content="before", fields={"year": 1})])
    with pytest.raises(BadRecord, match=next(iter(fields))) as refused:
        store.upsert([entry("good"), entry("kept", content="after"), entry("bad", fields=fields)])
    assert "'bad'" in str(refused.value)  # which document it was
    assert contents(store) == {"kept": "before"}


@pytest.mark.parametrize(
    "vector",
    [[1.0, 0, 0], [1.0, 0, 0, 0, 0], [math.nan, 0, 0, 0], [0, math.inf, 0, 0]],
    ids=["short", "long", "nan", "infinite"],
)
def test_a_vector_that_is_not_d_finite_numbers_is_refused_and_nothing_kept(
    vector: list[float], store: Store
) -> None:
    with pytest.raises(BadRecord, match="'bad'"):
        store.upsert([entry("good"), entry("bad", vector), entry("also good")])
    assert store.count() == 0
    assert store.nearest(torch.eye(4)[:1], 3) == [[]]
    assert store.worded(["text"], 3) == [[]]


def test_put_in_again_a_document_takes_the_place_of_the_first(store: Store) -> None:
    first, second = torch.eye(4)[:2]
    store.upsert([entry("a", first, "old words", {"lang": "de", "extra": 1}), entry("b", first)])
    store.upsert([entry("a", second, "new words", {"year": 1})])
    assert store.count() == 2
    assert contents(store) == {"a": "new words", "b": "text of b"}
    assert store.fetch(["a"])["a"].fields == {"year": 1}
    assert store.digests(["a"]) == {"a": "digest of new words"}
    hits = store.nearest(torch.stack([first, second]), 9, exact=True)
    assert [[(hit.id, round(hit.score, 6)) for hit in some] for some in hits] == [
        [("b", 1), ("a", 0)],
        [("a", 1), ("b", 0)],
    ]
    assert [hit.id for hit in store.worded(["new"], 9)[0]] == ["a"]
    assert store.worded(["old"], 9) == [[]]


def test_putting_in_the_same_twice_changes_nothing(store: Store) -> None:
    put = [entry(name, row) for name, row in zip("abc", unit_rows(3), strict=True)]
    store.upsert(put)
    before = store.nearest(unit_rows(2, seed=1), 3, exact=True)
    store.upsert(put)
    assert store.count() == 3
    assert store.nearest(unit_rows(2, seed=1), 3, exact=True) == before


def test_of_one_id_in_one_call_the_last_counts(store: Store) -> None:
    store.upsert([entry("a", content=text) for text in ("first", "second", "last")])
    assert store.count() == 1
    assert contents(store) == {"a": "last"}
    assert len(store.nearest(torch.eye(4)[:1], 5)[0]) == 1
    assert store.worded(["first"], 5) == [[]]


def test_what_is_taken_out_is_found_by_nobody(store: Store) -> None:
    store.upsert([entry(name, torch.eye(4)[:2]) for name in "abcd"])
    assert store.delete(name for name in ["b", "b", "d", "never there"]) == 2
    assert store.delete(["b"]) == 0
    assert store.count() == 2
    assert list(contents(store)) == ["a", "c"]
    assert store.fetch("abcd").keys() == store.digests("abcd").keys() == {"a", "c"}
    assert [hit.id for hit in store.nearest(torch.eye(4)[:1], 9, exact=True)[0]] == ["a", "c"]
    assert {hit.id for hit in store.nearest(torch.eye(4)[:1], 9)[0]} == {"a", "c"}
    assert {hit.id for hit in store.worded(["text"], 9)[0]} == {"a", "c"}
    store.upsert([entry("b", content="back")])
    assert contents(store) == {"a": "text of a", "b": "back", "c": "text of c"}


def test_an_empty_store_answers(store: Store) -> None:
    assert store.count() == store.pending() == store.delete(["a"]) == 0
    assert (store.fetch(["a"]), store.digests(["a"]), list(store.scan())) == ({}, {}, [])
    assert store.nearest(torch.eye(4)[:2], 3) == [[], []]
    assert store.nearest(torch.eye(4)[:2], 3, exact=True) == [[], []]
    assert store.worded(["a", ""], 3) == [[], []]
    store.optimise(silent)
    store.upsert([])
    assert store.count() == 0


def test_nothing_asked_nothing_answered(store: Store) -> None:
    store.upsert([entry("a")])
    assert (store.fetch([]), store.digests([]), store.delete([])) == ({}, {}, 0)
    assert store.nearest(torch.empty(0, 4), 3) == store.worded([], 3) == []


def test_ids_that_can_not_be_are_not_there(store: Store) -> None:
    store.upsert([entry("a")])
    for name in (HALF, "a\0", ""):
        assert (store.fetch([name, "a"]).keys(), store.digests([name])) == ({"a"}, {})
        assert store.delete([name]) == 0


def test_thousands_are_scanned_in_order_from_any_place(store: Store) -> None:
    names = [f"{at * 7919 % 3001:04}" for at in range(3_001)]
    store.upsert([entry(name, row) for name, row in zip(names, halves(3_001), strict=True)])
    assert [one.id for one in store.scan()] == sorted(names)
    assert [one.id for one in store.scan("1499")] == sorted(names)[1_500:]
    assert [one.id for one in store.scan("1499x")] == sorted(names)[1_500:]
    assert list(store.scan("3001")) == []
    assert store.fetch(names).keys() == store.digests(names).keys() == set(names)
    assert store.delete(names[:2_000]) == 2_000
    assert [one.id for one in store.scan()] == sorted(names[2_000:])


def test_a_scan_goes_on_while_what_it_has_passed_is_taken_out(store: Store) -> None:
    store.upsert([entry(f"{at:02}") for at in range(20)])
    for one in store.scan():
        store.delete([one.id])
    assert store.count() == 0


def test_facts_are_what_was_last_told(store: Store) -> None:
    assert dict(store.facts) == {}
    facts = {"space": {"dim": 4, "prompt": "a\0b 👍"}, "recall": 0.99, "live": True, "no": None}
    told = copy.deepcopy(facts)
    store.tell(told)
    told["space"]["dim"] = 5  # type: ignore[index]
    assert dict(store.facts) == facts
    store.tell({"other": [1, 2]})
    assert dict(store.facts) == {"other": [1, 2]}
    assert store.count() == 0


def test_the_layout_is_what_was_said(new: NewStore) -> None:
    assert new("one").layout == LAYOUT
    other = Layout(dim=3, words=False)
    assert new("two", other).layout == other


def test_documents_are_no_part_of_what_is_shared_with_the_caller(store: Store) -> None:
    rows, fields = torch.eye(4)[:1].clone(), {"lang": "de"}
    store.upsert([entry("a", rows, fields=fields)])
    rows.zero_()
    fields["lang"] = "en"
    assert store.nearest(torch.eye(4)[:1], 1)[0][0].score == pytest.approx(1)
    assert store.fetch(["a"])["a"].fields == {"lang": "de"}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=5, max_size=5),
    value=st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(),
                    st.floats(allow_nan=False), st.booleans()),
)  # fmt: skip
def test_whatever_it_is_it_comes_back(store: Store, texts: Any, value: Any) -> None:
    name, content, group, source, field = texts
    put = Document(
        id=name or "x", content=content, group=group, source=source, fields={field: value}
    )
    if field in LAYOUT.fields:
        return
    store.upsert([replace(entry("d"), document=put)])
    found = store.fetch([put.id])[put.id]
    assert found == put
    assert kinds_of(found) == kinds_of(put)
