"""/documents puts in, finds again and takes out, whatever an id looks like."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from doubles import LetterEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from index_world import DOCUMENTS, World, ids
from inside import HeldEncoder, Leaving, in_app, until
from running import running

from nearfar.serve.queue import Batch
from nearfar.serve.search_shapes import SearchBounds
from nearfar.serve.served import Bounds

NEW = {"id": "new", "content": "omega psi", "source": "t:99", "group": "late",
       "fields": {"year": 2024, "lang": "fr", "size": 1, "new": True, "any": "thing"}}  # fmt: skip
IDS = ["a/b", "/", "//", "a b", "100%", "%2F", "ä/日本/😀", "?q=1&x#y", "delete", "a\nb", "a\0b",
       "+", "..a/../b", "x" * 512, "{id}", "trailing/", "'\"\\"]  # fmt: skip


def in_turn(world: World, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    """Ask one after another, of one application."""

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.request(method, path, json=body) for method, path, body in requests]

    found: list[httpx.Response] = in_app(world.new_app(), ask)
    assert all(answer.status_code < 500 for answer in found), [answer.text for answer in found]
    return found


def test_what_was_put_in_is_found_and_what_was_taken_out_is_not() -> None:
    batches: list[Batch] = []
    world = World(told=batches.append)
    put, got, found, again, gone, missing, lost = in_turn(
        world,
        ("POST", "/documents", {"documents": [NEW, {"id": "d0", "content": "alpha tau"}]}),
        ("GET", "/documents/new", None),
        ("POST", "/search", {"query": "omega psi", "where": ["lang=fr"]}),
        ("POST", "/documents", {"documents": [NEW, {"id": "n2", "content": "sigma"}]}),
        ("DELETE", "/documents/new", None),
        ("GET", "/documents/new", None),
        ("POST", "/search", {"query": "omega psi", "where": ["lang=fr"]}),
    )
    assert put.json() == {"index": "shop", "version": "v1", "embedded": 2, "unchanged": 0}
    assert got.json() == {"index": "shop", "version": "v1", **NEW}
    (hit,) = found.json()["answers"][0]["hits"]
    assert (hit["id"], hit["content"], hit["fields"]) == ("new", NEW["content"], NEW["fields"])
    assert (again.json()["embedded"], again.json()["unchanged"]) == (1, 1)
    assert gone.json() == {"index": "shop", "version": "v1", "deleted": 1}
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "document_not_found"
    assert lost.json()["answers"][0]["hits"] == []
    # Two documents, a query, one document that was new, a query; nothing beside the queue.
    assert sum(batch.items for batch in batches) == 2 + 1 + 1 + 1
    assert world.index.fetch(["d0"])["d0"].content == "alpha tau"


def test_vectors_are_those_that_the_index_itself_would_make() -> None:
    world, other = World(documents=[]), World()
    rows = [
        {"id": one.id, "content": one.content, "fields": dict(one.fields), "source": one.source,
         "group": one.group}
        for one in DOCUMENTS
    ]  # fmt: skip
    in_turn(world, ("POST", "/documents", {"documents": rows}))
    assert world.hits(query="theta") == other.hits(query="theta")
    assert world.index.upsert(DOCUMENTS).unchanged == len(DOCUMENTS)


def test_any_id_can_be_put_fetched_and_taken_out() -> None:
    world = World()
    paths = ["/documents/" + quote(id, safe="") for id in IDS]
    in_turn(world, *(("PUT", path, {"content": "omega"}) for path in paths))
    assert world.index.count() == len(DOCUMENTS) + len(IDS)
    got = in_turn(world, *(("GET", path, None) for path in paths))
    assert [answer.json()["id"] for answer in got] == IDS
    gone = in_turn(world, *(("DELETE", path, None) for path in paths))
    assert [answer.json()["deleted"] for answer in gone] == [1] * len(IDS)
    assert world.index.count() == len(DOCUMENTS)


def test_any_id_works_through_a_real_server(client: httpx.Client) -> None:
    for id in IDS:
        url = "/documents/" + quote(id, safe="")
        assert client.put(url, json={"content": "omega"}).status_code == 200
        assert client.get(url).json()["id"] == id
        assert client.delete(url).json()["deleted"] == 1


def test_many_are_taken_out_at_once() -> None:
    world = World(bounds=SearchBounds(ids=4, documents=2))
    some = {"ids": ["d1", "d2", "nobody", "d1"]}
    few, many, none = in_turn(
        world,
        ("POST", "/documents/delete", some),
        ("POST", "/documents/delete", {"ids": ["d1"] * 5}),
        ("DELETE", "/documents/d1", None),
    )
    assert few.json()["deleted"] == 2
    assert (many.status_code, many.json()["error"]["param"]) == (413, "ids")
    assert none.json()["deleted"] == 0
    assert "d1" not in ids(world.hits(query="beta", k=100))
    (long,) = in_turn(world, ("POST", "/documents", {"documents": [NEW] * 3}))
    assert long.status_code == 413
    assert "at most 2, found 3" in long.json()["error"]["message"]


def test_a_document_of_the_wrong_kind_leaves_nothing_behind() -> None:
    world = World()
    wrong = {"id": "w", "content": "omega", "fields": {"year": "soon"}}
    (refused,) = in_turn(world, ("POST", "/documents", {"documents": [NEW, wrong]}))
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "invalid_document"
    assert "'year' of document 'w': expected a whole number" in error["message"]
    assert world.index.count() == len(DOCUMENTS)


def test_while_a_version_is_closed_writes_are_refused_and_searches_are_not() -> None:
    world = World()
    world.index.tell(replace(world.index.facts, state="closed"))
    put, delete, found = in_turn(
        world,
        ("POST", "/documents", {"documents": [NEW]}),
        ("DELETE", "/documents/d1", None),
        ("POST", "/search", {"query": "beta"}),
    )
    assert put.status_code == delete.status_code == 409
    assert put.json()["error"]["code"] == "index_closed"
    assert "about to go live" in put.json()["error"]["message"]
    assert found.status_code == 200
    assert world.index.count() == len(DOCUMENTS)


def test_a_client_that_leaves_has_nothing_half_written() -> None:
    encoder = HeldEncoder()
    world = World(encoder)
    encoder.hold()
    rows = [{"id": f"n{place}", "content": f"omega {place}"} for place in range(150)]

    async def leave(client: httpx.AsyncClient) -> None:
        body = json.dumps({"documents": rows}).encode()
        one = Leaving(world.app, "/documents", body)
        await encoder.holds()
        one.leave()
        await one.asking
        assert one.status == 499
        assert world.app.state.queue.waiting_items == 0
        encoder.may.set()
        assert (await client.get("/documents/n0")).status_code == 404

    in_app(world.app, leave)
    assert world.index.count() == len(DOCUMENTS)


def test_a_write_that_was_let_in_waits_for_room_and_others_get_their_turns() -> None:
    encoder = HeldEncoder()
    world = World(encoder, limits=Bounds(waiting_tokens=500, tokens_per_batch=64))
    rows = [{"id": f"n{place}", "content": f"omega {place}"} for place in range(200)]

    async def crowd(client: httpx.AsyncClient) -> None:
        writing = asyncio.create_task(client.post("/documents", json={"documents": rows}))
        await until(lambda: world.app.state.queue.waiting_items > 0)
        found = await client.post("/search", json={"query": "alpha"})
        assert found.status_code == 200
        assert (await writing).json()["embedded"] == 200

    in_app(world.app, crowd)
    assert max(len(texts) for texts in encoder.asked) < 200


FIELDS_300 = {str(place): 1 for place in range(300)}
HOSTILE: list[tuple[str, str, Any, int]] = [
    ("POST", "/documents", {}, 400),
    ("POST", "/documents", {"documents": []}, 400),
    ("POST", "/documents", {"documents": NEW}, 400),
    ("POST", "/documents", {"documents": [{"id": "", "content": "a"}]}, 400),
    ("POST", "/documents", {"documents": [{"id": "a", "content": ""}]}, 400),
    ("POST", "/documents", {"documents": [{"id": 7, "content": "a"}]}, 400),
    ("POST", "/documents", {"documents": [{"content": "a"}]}, 400),
    ("POST", "/documents", {"documents": [{"id": "a" * 513, "content": "a"}]}, 400),
    ("POST", "/documents", {"documents": [{"id": "a", "content": "a" * 200_001}]}, 413),
    ("POST", "/documents", {"documents": [NEW | {"fields": {"year": 2**63}}]}, 400),
    ("POST", "/documents", {"documents": [NEW | {"fields": {"free": 2**63}}]}, 400),
    ("POST", "/documents", {"documents": [NEW | {"fields": {"x": [1]}}]}, 400),
    ("POST", "/documents", {"documents": [NEW | {"fields": {"": 1}}]}, 400),
    ("POST", "/documents", {"documents": [NEW | {"fields": FIELDS_300}]}, 400),
    ("POST", "/documents", {"documents": [NEW | {"text": "typo"}]}, 400),
    ("POST", "/documents", {"documents": [NEW], "index": "nowhere"}, 404),
    ("POST", "/documents", [NEW], 400),
    ("POST", "/documents/d1", NEW, 405),
    ("PUT", "/documents/d1", {"content": "a", "id": "d2"}, 400),
    ("PUT", "/documents/", {"content": "a"}, 400),
    ("PUT", "/documents/" + "a" * 513, {"content": "a"}, 400),
    ("GET", "/documents/", None, 400),
    ("GET", "/documents/d1?index=nowhere", None, 404),
    ("GET", "/documents/d1?index=", None, 400),
    ("GET", "/documents/%FF%FE", None, 404),
    ("DELETE", "/documents/", None, 400),
    ("DELETE", "/documents", None, 405),
    ("POST", "/documents/delete", {"ids": []}, 400),
    ("POST", "/documents/delete", {"ids": [""]}, 400),
    ("POST", "/documents/delete", {"ids": "d1"}, 400),
]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    world = World()
    with running(world.app) as url, httpx.Client(base_url=url, timeout=20) as found:
        yield found
    world.indexes.close()


def test_what_cannot_be_done_is_refused(client: httpx.Client) -> None:
    for method, path, body, status in HOSTILE:
        answer = client.request(method, path, json=body)
        assert answer.status_code == status, (method, path, body, answer.text)
        assert answer.json()["error"]["message"], answer.text
    for surrogate in (b'{"documents": [{"id": "\\ud800", "content": "a"}]}', b"\xff\xfe", b"{}}"):
        headers = {"content-type": "application/json"}
        answer = client.post("/documents", content=surrogate, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT,
    st.lists(TEXT, max_size=2),
)  # fmt: skip
ROWS = st.fixed_dictionaries(
    {"id": VALUES | TEXT, "content": VALUES | TEXT},
    optional={
        "fields": VALUES | st.dictionaries(TEXT | st.sampled_from(["year", "lang"]), VALUES),
        "group": VALUES, "source": VALUES, "extra": VALUES,
    },
)  # fmt: skip


@given(st.fixed_dictionaries({"documents": VALUES | st.lists(ROWS, max_size=3)}), TEXT)
@settings(max_examples=40, deadline=None)
def test_no_document_makes_the_server_fail(client: httpx.Client, body: Any, id: str) -> None:
    answer = client.post("/documents", json=body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        for row in body["documents"]:
            url = "/documents/" + quote(row["id"], safe="")
            if row["id"] not in (".", ".."):  # which no client leaves in a path
                assert client.get(url).json()["id"] == row["id"]
    url = "/documents/" + quote(id, safe="")
    assert client.get(url).status_code in (200, 400, 404)


def test_an_encoder_that_fails_says_so_and_nothing_is_put_in() -> None:
    class Broken(LetterEncoder):
        def encode(self, contents: Any, role: Any, **more: Any) -> Any:
            if role == "document" and any("omega" in text for text in contents):
                raise RuntimeError("out of memory")
            return super().encode(contents, role)

    world = World(Broken())

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/documents", json={"documents": [NEW]})

    answer = in_app(world.new_app(), ask)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_failed")
    assert world.index.count() == len(DOCUMENTS)
