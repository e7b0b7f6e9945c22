"""The application under those who mean no good, who leave, and who come while models change."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from doubles import LetterEncoder
from fastapi import APIRouter
from inside import HeldEncoder, Leaving, in_app, until
from letter_reranker import LetterReranker
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from nearfar.errors import BadSetting
from nearfar.serve.app import create_app
from nearfar.serve.queue import Batch
from nearfar.serve.served import Bounds, Offer, Served, ServedReranker, Serving

JSON = "application/json"
# One good body of each route.
GOOD: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": "a"},
    "/embed": {"inputs": "a"},
    "/v2/embed": {"texts": ["a"], "input_type": "search_query"},
    "/v2/rerank": {"query": "q", "documents": ["a"]},
    "/v1/rerank": {"query": "q", "documents": ["a"]},
    "/rerank": {"query": "q", "texts": ["a"]},
}


def letters(encoder: LetterEncoder | None = None, name: str = "letters") -> Offer:
    return Offer.of(
        [Served(name=name, encoder=encoder or LetterEncoder())],
        [ServedReranker(name="reading", reranker=LetterReranker())],
    )


def message_of(answer: httpx.Response) -> str:
    """Return what a refusal says, and see that it has the shape of its route."""
    body, path = answer.json(), answer.url.path
    if path in ("/embed", "/rerank"):
        assert set(body) == {"error", "error_type"}
        return str(body["error"])
    if path in ("/v2/embed", "/v2/rerank", "/v1/rerank"):
        assert set(body) == {"message", "detail"}
        return str(body["message"])
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return str(body["error"]["message"])


def with_text(path: str, text: str) -> bytes:
    """Return the good body of a route with another text in it, written as it is."""
    return json.dumps(GOOD[path]).replace('"a"', f'"{text}"').encode()


HOSTILE: list[tuple[str, bytes, str, int]] = [
    ("no body", b"", JSON, 400),
    ("no json", b"input=a", JSON, 400),
    ("deep lists", b"[" * 200_000, JSON, 400),
    ("deep objects", b'{"input":' * 100_000, JSON, 400),
    ("no utf-8", b'{"input":"\xff\xfe"}', JSON, 400),
    ("a bare NUL", b'{"input":"a\x00b"}', JSON, 400),
    ("a list", b"[]", JSON, 400),
    ("a number", b"1e999999", JSON, 400),
    ("NaN", b'{"input":NaN}', JSON, 400),
    ("no content type", b'{"input":"a"}', "", 415),
    ("a form", b'{"input":"a"}', "application/x-www-form-urlencoded", 415),
    ("another content type", b'{"input":"a"}', "text/plain; charset=json", 415),
    ("a broken content type", b'{"input":"a"}', "\xff;;==", 415),
]


@pytest.mark.parametrize("path", GOOD)
def test_hostile_bodies_get_the_right_answer(path: str) -> None:
    # In one application: it must live on after each.
    bodies = [
        *HOSTILE,
        ("a lone surrogate", with_text(path, "\\ud800"), JSON, 400),
        ("ten megabytes", with_text(path, "x" * 10_000_000), JSON, 413),
    ]

    async def test(client: httpx.AsyncClient) -> None:
        for name, body, kind, status in bodies:
            answer = await client.post(
                path, content=body, headers=[(b"content-type", kind.encode("latin-1"))]
            )
            # TEI answers 422 to a JSON that is no request; 400 to what is no JSON.
            wanted = {status, 422} if name in ("no body", "a list") else {status}
            assert answer.status_code in wanted, (name, answer.text[:300])
            assert 0 < len(message_of(answer)) < 400, name
        for text in ("\\u0000", "a\\u0000b", "\\ud83d\\ude00", "\\u202e"):
            answer = await client.post(
                path, content=with_text(path, text), headers={"content-type": JSON}
            )
            assert answer.status_code == 200, text

    in_app(create_app(Serving(letters())), test)


@pytest.mark.parametrize("path", GOOD)
def test_a_list_of_anything_but_texts_is_refused_at_its_first_place(path: str) -> None:
    field = {"/v1/embeddings": "input", "/embed": "inputs", "/v2/embed": "texts",
             "/rerank": "texts"}.get(path, "documents")  # fmt: skip

    async def test(client: httpx.AsyncClient) -> None:
        for wrong in ([None] * 100_000, [{}], [True, 1], [[["a"]]], {"a": "b"}, 7, None):
            answer = await client.post(path, json=GOOD[path] | {field: wrong})
            assert answer.status_code in (400, 422), (str(wrong)[:50], answer.text[:300])
            assert len(message_of(answer)) < 400

    in_app(create_app(Serving(letters())), test)


def test_other_ways_and_other_paths_are_refused_in_shape() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        assert (await client.get("/nowhere")).json()["error"]["type"] == "not_found_error"
        for path in GOOD:
            answer = await client.get(path)
            assert answer.status_code == 405
            assert message_of(answer) == "Method Not Allowed"
            assert answer.headers["allow"] == "POST"

    in_app(create_app(Serving(letters())), test)


def test_every_refusal_is_declared_and_no_other_shape() -> None:
    described = create_app(Serving(letters())).openapi()
    shapes = {"/embed": "TeiError", "/rerank": "TeiError", "/v1/embeddings": "OpenAIError"}
    for path in GOOD:
        said = described["paths"][path]["post"]["responses"]
        assert set(said) >= {"200", "400", "401", "403", "404", "413", "415", "429", "500", "503"}
        for status, answer in said.items():
            if status != "200":
                shape = answer["content"]["application/json"]["schema"]["$ref"]
                assert shape.endswith(shapes.get(path, "CohereError")), (path, status)
        assert "Retry-After" in said["429"]["headers"]
        assert "x-queue-time" in said["200"]["headers"]
    assert "HTTPValidationError" not in described["components"]["schemas"]


@pytest.mark.parametrize("path", GOOD)
def test_a_full_queue_answers_429_at_once(path: str) -> None:
    held = HeldEncoder()
    app = create_app(Serving(letters(held)), bounds=Bounds(waiting_tokens=3))

    async def test(client: httpx.AsyncClient) -> None:
        held.hold()
        first = asyncio.create_task(client.post("/embed", json={"inputs": "a"}))
        await held.holds()
        second = asyncio.create_task(client.post("/embed", json={"inputs": "b" * 8}))
        await until(lambda: app.state.queue.waiting_tokens == 3)
        answer = await client.post(path, json=GOOD[path])
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "Try again in" in message_of(answer)
        held.may.set()
        assert [(await task).status_code for task in (first, second)] == [200, 200]
        assert (await client.post(path, json=GOOD[path])).status_code == 200

    in_app(app, test)


def test_a_client_that_leaves_frees_its_place() -> None:
    held = HeldEncoder()
    app = create_app(Serving(letters(held)), bounds=Bounds(waiting_tokens=100))

    async def test(client: httpx.AsyncClient) -> None:
        held.hold()
        first = asyncio.create_task(client.post("/embed", json={"inputs": "first"}))
        await held.holds()
        body = json.dumps({"input": ["left " * 40, "left too"]}).encode()
        leaving = Leaving(app, "/v1/embeddings", body)
        await until(lambda: app.state.queue.waiting_items == 2)
        leaving.leave()
        await leaving.asking
        assert app.state.queue.waiting_items == app.state.queue.waiting_tokens == 0
        assert leaving.status == 499
        held.may.set()
        assert (await first).status_code == 200

    in_app(app, test)
    assert held.asked == [["first"]]  # nothing was computed for who left


def test_what_waits_when_the_server_ends_is_answered() -> None:
    held = HeldEncoder()
    app = create_app(Serving(letters(held)), bounds=Bounds(tokens_per_batch=2))
    asked: list[asyncio.Task[httpx.Response]] = []

    async def test(client: httpx.AsyncClient) -> None:
        held.hold()
        for text in "abc":
            asked.append(asyncio.create_task(client.post("/embed", json={"inputs": text})))
        await held.holds()
        await until(lambda: app.state.queue.waiting_items == 2)
        draining = asyncio.create_task(app.state.work.drain())
        await asyncio.sleep(0)
        late = await client.post("/embed", json={"inputs": "late"})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        held.may.set()
        await draining
        assert [(await task).status_code for task in asked] == [200] * 3

    in_app(app, test)


def test_a_request_keeps_the_models_it_began_with() -> None:
    held = HeldEncoder()
    serving = Serving(letters(held, "old"))
    app = create_app(serving)

    async def test(client: httpx.AsyncClient) -> None:
        held.hold()
        body = {"input": ["a", "b"]}
        before = asyncio.create_task(client.post("/v1/embeddings", json=body))
        await held.holds()
        assert serving.swap(letters(name="new")).model == "old"
        after = asyncio.create_task(client.post("/v1/embeddings", json=body))
        await until(lambda: app.state.queue.waiting_items == 2)
        held.may.set()
        assert (await before).json()["model"] == "old"
        assert (await after).json()["model"] == "new"

    in_app(app, test)
    assert held.asked == [["a", "b"]]


def test_what_a_middleware_says_while_the_body_is_read_is_its_own_to_say() -> None:
    class TooLong:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def read() -> Any:
                raise HTTPException(413, "too long", {"connection": "close"})

            await self._app(scope, read if scope["type"] == "http" else receive, send)

    async def test(client: httpx.AsyncClient) -> None:
        for path in GOOD:
            answer = await client.post(path, json=GOOD[path])
            assert (answer.status_code, answer.headers["connection"]) == (413, "close")
            assert message_of(answer) == "too long"

    in_app(create_app(Serving(letters()), middleware=[Middleware(TooLong)]), test)


def test_further_routes_and_listeners_are_taken_in() -> None:
    router, told = APIRouter(), list[Batch]()

    @router.get("/livez")
    async def alive() -> dict[str, str]:
        return {"state": "ok"}

    @router.get("/broken")
    async def broken() -> None:
        raise KeyError("a mistake of ours")

    app = create_app(Serving(letters()), routers=[router], told=told.append)

    async def test(client: httpx.AsyncClient) -> None:
        assert (await client.get("/livez")).json() == {"state": "ok"}
        answer = await client.get("/broken")
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert "mistake" not in answer.text
        await client.post("/embed", json={"inputs": ["aa", "bbbb"]})

    in_app(app, test)
    assert [batch.items for batch in told] == [2]


def test_what_cannot_be_served_is_refused_before_it_is() -> None:
    with pytest.raises(BadSetting, match="1 to 26"):
        Served(name="letters", encoder=LetterEncoder(), dims=(27,))
    with pytest.raises(BadSetting, match="names of models must be all different"):
        Offer.of([Served(name="a", encoder=LetterEncoder())] * 2)
    with pytest.raises(BadSetting, match="the default model must be one of none, got 'a'"):
        Offer(models={}, model="a")
