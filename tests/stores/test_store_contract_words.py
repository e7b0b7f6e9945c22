"""Promises that every store keeps: words are found, whatever signs stand around them."""

import pytest
import torch
from shelves import NewStore, entry, named

from nearfar.errors import BadSetting
from nearfar.progress import silent
from nearfar.stores.contract import Layout, Store
from nearfar.stores.filters import Condition

TALES = {
    "both": "zebra gallops beside lion",
    "lion": "lion sleeps near river",
    "zebra": "zebra drinks near river",
    "river": "river river river flows slowly along mountain valley",
    "else": "unrelated sentence mentioning computers",
    "signs": "???",
    "empty": " ",
}


@pytest.fixture
def tales(store: Store) -> Store:
    store.upsert([entry(name, content=text, fields={"lang": name}) for name, text in TALES.items()])
    return store


def test_who_has_no_word_of_the_query_is_not_found(tales: Store) -> None:
    for _ in range(2):
        found = tales.worded(["lion", "zebra lion", "absent", "???", "", "computers river"], 9)
        sets = [set(named(hits)) for hits in found]
        assert sets[:3] == [{"lion", "both"}, {"lion", "both", "zebra"}, set()]
        assert sets[3:] == [set(), set(), {"else", "river", "lion", "zebra"}]
        assert all(hit.score > 0 and hit.piece == 0 for hits in found for hit in hits)
        for hits in found:
            assert [hit.score for hit in hits] == sorted((h.score for h in hits), reverse=True)
        tales.optimise(silent)


def test_words_that_say_more_come_first(tales: Store) -> None:
    assert named(tales.worded(["zebra lion"], 1)[0]) == ["both"]  # two words of it
    assert named(tales.worded(["river computers"], 9)[0])[0] == "else"  # the rarer word
    assert named(tales.worded(["lion"], 1)[0]) in (["lion"], ["both"])
    assert len(tales.worded(["river"], 2)[0]) == 2


def test_a_word_is_one_however_it_is_written(tales: Store) -> None:
    tales.upsert([entry("loud", content="ZEBRA! Größe, 42nd.")])
    assert set(named(tales.worded(["zebra"], 9)[0])) == {"loud", "both", "zebra"}
    assert set(named(tales.worded(["Zebra?"], 9)[0])) == {"loud", "both", "zebra"}
    assert named(tales.worded(["größe"], 9)[0]) == ["loud"]
    assert named(tales.worded(["42nd"], 9)[0]) == ["loud"]
    assert tales.worded(["zeb"], 9) == [[]]  # and not a part of one


def test_words_of_any_script_are_found(store: Store) -> None:
    store.upsert([entry("ja", content="携帯電話の修理"), entry("el", content="το μεγάλο ΣΠΊΤΙ")])
    assert named(store.worded(["修理"], 9)[0]) == ["ja"]
    assert named(store.worded(["σπίτι"], 9)[0]) == ["el"]


@pytest.mark.parametrize(
    "query",
    ['"lion', "lion AND NOT", "lion:* & | ! ( )", "-lion", "+lion", "lion~2", "lion^", "'lion' \\",
     "lion \0", "lion \ud800", "{lion}", "[lion]", "/lion/", "%lion%", "content:lion", "lion*",
     " lion " * 500, "👍 lion"],
    ids=ascii,
)  # fmt: skip
def test_signs_of_a_query_language_are_only_signs(query: str, tales: Store) -> None:
    assert {"lion", "both"} <= set(named(tales.worded([query], 9)[0]))


def test_words_follow_what_is_put_in_and_taken_out(tales: Store) -> None:
    tales.optimise(silent)
    tales.upsert([entry("lion", content="tiger sleeps"), entry("new", content="lion roars")])
    tales.delete(["both"])
    for _ in range(2):
        assert named(tales.worded(["lion"], 9)[0]) == ["new"]
        assert named(tales.worded(["tiger"], 9)[0]) == ["lion"]
        assert named(tales.worded(["gallops"], 9)[0]) == []
        tales.optimise(silent)


def test_however_few_match_all_k_are_found_by_words(store: Store) -> None:
    put = [
        entry(f"{at:03}", content="cat " * (9 - at % 7), fields={"year": at}) for at in range(300)
    ]
    store.upsert(put)
    for _ in range(2):
        where = (Condition("year", ">=", (290,)),)
        assert sorted(named(store.worded(["cat"], 10, where=where)[0])) == [
            f"{at}" for at in range(290, 300)
        ]
        assert len(store.worded(["cat"], 250)[0]) == 250
        store.optimise(silent)


def test_where_there_are_no_words_none_are_searched(new: NewStore) -> None:
    store = new("wordless", Layout(dim=4, words=False))
    store.upsert([entry("a", content="cat")])
    with pytest.raises(BadSetting, match="words"):
        store.worded(["cat"], 1)
    assert named(store.nearest(torch.eye(4)[:1], 1)[0]) == ["a"]
