"""The card of an index says how many of the exact neighbours it finds, as a plain count does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from live_world import filled
from shelf import QUERIES, TEXTS, Scattered, best, cosines

from nearfar.errors import BadRecord, BadSetting
from nearfar.search.index_card import describe_card, measure_card
from nearfar.search.live_facts import LiveFacts
from nearfar.search.live_index import LiveIndex
from nearfar.stores.contract import Found


def recalls(card: Mapping[str, Any]) -> dict[str, float]:
    return {one["where"]: one["recall_score"] for one in card["recalls"]}


def card_of(index: LiveIndex, **asked: Any) -> dict[str, Any]:
    return measure_card(index, QUERIES, **{"asking": "queries", "at": "2026-03-04", **asked})


def test_where_every_vector_is_looked_at_recall_is_whole() -> None:
    found = recalls(card_of(filled()))
    assert found[""] == 1
    assert {"side=left", "side=right"} < found.keys()
    assert sum(where.startswith("place>=") for where in found) == 1
    assert set(found.values()) == {1.0}


class Hasty:
    """An approximate search that misses the documents of some places."""

    def __init__(self, store: Any, missed: set[str]) -> None:
        self._store, self._missed = store, missed

    def nearest(self, vectors: Any, k: int, *, where: Any = (), exact: bool = False) -> Any:
        if exact:
            return self._store.nearest(vectors, k, where=where, exact=True)
        found = self._store.nearest(vectors, k + len(self._missed), where=where)
        return [[one for one in some if one.id not in self._missed][:k] for some in found]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_what_is_missed_is_counted() -> None:
    index = filled()
    missed = {f"d{place:02}" for place in range(0, 60, 7)}
    hasty = replace(index, store=Hasty(index.store, missed))  # type: ignore[arg-type]
    card = card_of(hasty)
    exact = [{f"d{place:02}" for place in best(cosines(query), 10)} for query in QUERIES]
    shares = [len(first - missed) / 10 for first in exact]
    assert recalls(card)[""] == pytest.approx(sum(shares) / len(shares))
    assert card["recalls"][0]["least_score"] == pytest.approx(min(shares))
    assert recalls(card)[""] < 1


def test_a_document_as_near_as_the_last_is_as_good() -> None:
    index = filled()

    class Tied(Hasty):
        def nearest(self, vectors: Any, k: int, *, where: Any = (), exact: bool = False) -> Any:
            names = ("a", "b", "c") if exact else ("c", "b", "d")
            return [[Found(name, 0.5) for name in names[:k]] for _ in vectors]

    tied = replace(index, store=Tied(index.store, set()))  # type: ignore[arg-type]
    assert recalls(card_of(tied, k=3)) == {"": 1.0}


def test_the_card_is_kept_and_says_what_the_index_is() -> None:
    index = filled()
    before = index.facts
    card = card_of(index, stored_in="memory")
    told = LiveFacts.of(index.store, index.version)
    assert told == replace(before, card=card)
    assert (card["at"], card["documents"], card["dim"], card["k"]) == ("2026-03-04", 60, 26, 10)
    assert card["space"] == Scattered().space.fingerprint
    shown = describe_card(card)
    whole = "recall@10   1.0000 (least 1.00) of 5 queries, all documents"
    for said in ("v1, in memory", "26 dimensions", "60, whole", "side (text)", "2026-03-04",
                 "side=left", whole):  # fmt: skip
        assert said in shown


def test_documents_may_ask_where_there_are_no_queries() -> None:
    card = measure_card(filled(), TEXTS[:9], asking="documents", at="")
    assert recalls(card)[""] == 1
    assert "9 documents as queries" in describe_card(card)
    assert "no date was said" in describe_card(card)


def test_an_index_without_documents_has_no_recall() -> None:
    index = filled()
    index.delete(f"d{place:02}" for place in range(60))
    card = card_of(index)
    assert [(one["queries"], one["recall_score"]) for one in card["recalls"]] == [(0, None)]
    assert "nothing to find" in describe_card(card)


def test_nothing_to_ask_is_refused() -> None:
    with pytest.raises(BadRecord, match="found none"):
        measure_card(filled(), [], asking="queries", at="")
    with pytest.raises(BadSetting, match="k of a card must be 1 or more, got 0"):
        card_of(filled(), k=0)
