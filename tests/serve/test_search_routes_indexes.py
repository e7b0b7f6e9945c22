"""Named indexes: each with the model of its space, through changes of versions and models."""

import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
from doubles import LETTERS, LetterEncoder
from index_world import DOCUMENTS, World, ids
from inside import in_app

from nearfar.errors import BadSetting, SpaceMismatch
from nearfar.progress import Progress
from nearfar.records import Document
from nearfar.search.live_index import LiveIndex
from nearfar.search.reindexing import build_version, switch
from nearfar.serve import indexes as module
from nearfar.serve.app import create_app
from nearfar.serve.indexes import Indexes, ServedIndex
from nearfar.serve.search_routers import search_routers
from nearfar.serve.served import Offer, Served, Serving
from nearfar.stores.memory import MemoryShelf


def test_an_index_of_another_space_is_refused_at_the_start() -> None:
    shelf = MemoryShelf()
    LiveIndex.create(shelf, LetterEncoder(replace(LETTERS, weights="others")))
    offer = Offer.of([Served(name="letters", encoder=LetterEncoder())])
    with pytest.raises(SpaceMismatch, match="weights: 'letters' here, 'others' there"):
        ServedIndex.open("shop", shelf, offer)
    index = LiveIndex.open(shelf, LetterEncoder(replace(LETTERS, weights="others")))
    with pytest.raises(SpaceMismatch, match="Cannot ask the index 'shop'"):
        ServedIndex(name="shop", model="letters", served=offer.models["letters"], index=index)
    with pytest.raises(BadSetting, match=r"that is served \(letters\), found 'leters'"):
        ServedIndex.open("shop", shelf, offer, "leters")


def test_indexes_have_names_and_one_is_the_default() -> None:
    encoders = {"a": LetterEncoder(), "b": LetterEncoder(replace(LETTERS, weights="others"))}
    offer = Offer.of([Served(name=name, encoder=one) for name, one in encoders.items()])
    opened = []
    for name, encoder in encoders.items():
        shelf = MemoryShelf()
        LiveIndex.create(shelf, encoder).upsert([Document(id=f"of {name}", content="alpha")])
        opened.append(ServedIndex.open(f"index {name}", shelf, offer, name))
    indexes = Indexes(opened, default="index b")
    app = create_app(Serving(offer), routers=search_routers(indexes))

    async def ask(client: httpx.AsyncClient) -> Any:
        named = {"query": "alpha", "index": "index a"}
        return [
            (await client.post("/search", json=body)).json()
            for body in ({"query": "alpha"}, named, {"query": "alpha", "index": "c"})
        ]

    default, other, unknown = in_app(app, ask)
    assert ids(default["answers"][0]["hits"]) == ["of b"]
    assert ids(other["answers"][0]["hits"]) == ["of a"]
    assert unknown["error"]["code"] == "index_not_found"
    assert "(index b, index a), found 'c'" in unknown["error"]["message"]
    with pytest.raises(BadSetting, match="default index must be one of index a, index b"):
        Indexes(opened, default="c")
    with pytest.raises(BadSetting, match="all different"):
        Indexes([opened[0], opened[0]])


def test_a_model_of_another_space_answers_once_its_version_is_live() -> None:
    class Backwards(LetterEncoder):
        def encode(self, *args: Any, **more: Any) -> Any:
            return super().encode(*args, **more).flip(1)

    world, fresh = World(), Backwards(replace(LETTERS, weights="fresh"))
    world.serving.swap(Offer.of([Served(name="letters", encoder=fresh)]))
    assert world.indexes.refresh(world.serving.offer) == []
    first = world.search(query="alpha")
    assert first["space"] == LETTERS.fingerprint  # by the model that it was opened with
    with world.indexes.using("shop") as before:
        switch(world.shelf, build_version(world.shelf, fresh).version, fresh)
        refused = world.ask("PUT", "/documents/new", {"content": "omega"})
        assert refused.status_code == 200, refused.text
        assert before.index.version == "v1"  # who began with it still reads it
        assert before.index.count() == len(DOCUMENTS)
    second = world.search(query="alpha")
    assert (second["version"], second["space"]) == ("v2", fresh.space.fingerprint)
    assert ids(second["answers"][0]["hits"][:1]) == ids(first["answers"][0]["hits"][:1]) == ["d0"]
    switch(world.shelf, "v1", LetterEncoder())
    (told,) = world.indexes.refresh(world.serving.offer)
    assert told.startswith("The index 'shop' stays on version 'v2': Cannot open version 'v1'")
    assert world.search(query="omega")["version"] == "v2"


def test_an_index_is_closed_when_its_last_reader_is_done() -> None:
    world = World()
    closed: list[str] = []
    for name in ("shop",):
        with world.indexes.using(name) as one:
            one.index.store.close = lambda: closed.append("v1")  # type: ignore[method-assign]
            fresh = LetterEncoder()
            world.serving.swap(Offer.of([Served(name="letters", encoder=fresh)]))
            world.indexes.refresh(world.serving.offer)
            with world.indexes.using(name) as other:
                assert other.served.encoder is fresh
            assert closed == []
        assert closed == ["v1"]


def test_after_many_writes_an_index_is_tidied_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WRITES", 3)
    world = World()
    began, may, tidied = threading.Event(), threading.Event(), []

    def tidy(progress: Progress) -> None:
        began.set()
        assert may.wait(20)
        tidied.append(world.index.count())
        progress("tidy", 0, None)

    world.index.store.optimise = tidy  # type: ignore[method-assign]

    def put(times: int) -> None:
        for _ in range(times):
            answer = world.ask("PUT", "/documents/new", {"content": "omega"})
            assert answer.status_code == 200

    put(2)
    assert not began.is_set()
    put(5)  # the upkeep under way keeps nobody waiting, and there is one at a time
    assert began.wait(20)
    may.set()
    world.indexes.close()
    assert tidied == [len(DOCUMENTS) + 1]
