"""Access: which right each route needs, who is let in, and what a stranger's page may not do."""

from pathlib import Path
from typing import Any

import pytest
from doubles import LetterEncoder
from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from nearfar.serve.access import RequireHere, RequireKey, right_for
from nearfar.serve.app import create_app
from nearfar.serve.keys import KeyRing, add_key, revoke_key
from nearfar.serve.rates import Rates
from nearfar.serve.served import Offer, Served, Serving

AT = "2026-11-21T12:00:00+00:00"


class Hand:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def app_inside(layer: Middleware) -> FastAPI:
    app = FastAPI(middleware=[layer])

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
    def all_of_it(path: str, request: Request) -> Any:
        return {"key": getattr(request.state, "key", None)}

    return app


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/livez", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", "read"),
        ("GET", "/openapi.json", "read"),
        ("POST", "/v1/embeddings", "read"),
        ("POST", "/v1/embeddings/", "read"),
        ("POST", "/v2/rerank", "read"),
        ("POST", "/search", "read"),
        ("POST", "/feedback", "read"),
        ("GET", "/documents/a", "read"),
        ("POST", "/documents", "write"),
        ("DELETE", "/documents/search", "write"),
        ("DELETE", "/search", "write"),
        ("POST", "/whatever-comes-next", "write"),
        ("GET", "/admin/reload", "admin"),
        ("POST", "/admin", "admin"),
        ("POST", "//search", "write"),
        ("POST", "/livez/../documents", "write"),
    ],
)
def test_a_route_needs_a_right(method: str, path: str, right: str | None) -> None:
    assert right_for(method, path) == right


def test_no_route_is_forgotten() -> None:
    """Who adds a route that only reads lets readers in, in `access.ASKING`."""
    serving = Serving(Offer.of([Served(name="letters", encoder=LetterEncoder())]))
    for path, methods in create_app(serving).openapi()["paths"].items():
        for method in methods:
            changes = path.startswith("/documents") and method != "get"
            expected = "write" if changes else "read"
            assert right_for(method.upper(), path) == expected, path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def tokens(file: Path) -> dict[str, str]:
    return {name: add_key(file, name, [name], at=AT) for name in ("read", "write", "admin")}


def client_of(file: Path, clock: Hand | None = None, rate: float | None = None) -> TestClient:
    layer = Middleware(RequireKey, ring=KeyRing(file, pytest.fail), rates=Rates(clock or Hand()),
                       requests_per_minute=rate)  # fmt: skip
    return TestClient(app_inside(layer))


def test_each_key_may_do_what_its_rights_say(file: Path, tokens: dict[str, str]) -> None:
    client = client_of(file)
    asked = {"read": ("POST", "/search"), "write": ("POST", "/documents"),
             "admin": ("GET", "/admin")}  # fmt: skip
    for has, token in tokens.items():
        for needs, (method, path) in asked.items():
            answer = client.request(method, path, headers={"authorization": f"Bearer {token}"})
            let = has in (needs, "admin")
            assert answer.status_code == (200 if let else 403)
            if let:
                assert answer.json() == {"key": has}
            else:
                assert answer.json()["error"]["code"] == "missing_right"


def test_without_a_key_that_holds_nothing_but_health_is_answered(
    file: Path, tokens: dict[str, str]
) -> None:
    client = client_of(file)
    revoke_key(file, "read", at=AT)
    for sent in ("", "Basic abc", "Bearer", "Bearer  ", "Bearer nf_no", f"Bearer {tokens['read']}",
                 f"{tokens['write']}", "Bearer \xff\xfe"):  # fmt: skip
        answer = client.post("/search", headers={"authorization": sent.encode("latin-1")})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert tokens["read"] not in answer.text
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.get("/metrics").status_code == 401
    right = {"authorization": f"bEARER {tokens['write']}"}
    assert client.post("/documents", headers=right).status_code == 200


def test_a_refusal_speaks_as_the_route_does(file: Path, tokens: dict[str, str]) -> None:
    client = client_of(file)
    assert client.post("/v1/embeddings").json()["error"]["type"] == "authentication_error"
    assert "message" in client.post("/v2/rerank").json()
    assert client.post("/embed").json()["error_type"] == "unauthorized"


def test_a_key_asks_as_often_as_it_may_and_is_told_when_to_come_back(file: Path) -> None:
    own = add_key(file, "slow", ["read"], at=AT, requests_per_minute=2)
    other = add_key(file, "free", ["read"], at=AT)
    clock = Hand()
    client = client_of(file, clock, rate=3)
    codes = {
        token: [
            client.post("/search", headers={"authorization": f"Bearer {token}"}).status_code
            for _ in range(5)
        ]
        for token in (own, other)
    }
    assert codes[own] == [200, 200, 429, 429, 429]
    assert codes[other] == [200, 200, 200, 429, 429]
    refused = client.post("/search", headers={"authorization": f"Bearer {own}"})
    assert refused.headers["retry-after"] == "30"
    clock.now += 30
    assert client.post("/search", headers={"authorization": f"Bearer {own}"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8080"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"host": "127.8.8.8"}, 200),
        ({"host": "evil.example:8080"}, 403),  # a name that was turned to point here
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "localhost:8080", "origin": "http://localhost:8080"}, 200),
        ({"host": "localhost:8080", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8080", "origin": "null"}, 403),
        ({"host": "localhost:8080", "origin": "https://shop.example"}, 200),  # allowed below
    ],
)
def test_without_keys_only_this_machine_is_served(headers: dict[str, str], status: int) -> None:
    layer = Middleware(RequireHere, rates=Rates(Hand()), origins=("https://shop.example",))
    client = TestClient(app_inside(layer))
    assert client.post("/documents", headers=headers).status_code == status
    assert client.get("/livez", headers=headers).status_code == 200


def test_without_keys_on_purpose_every_host_is_served_but_no_foreign_page() -> None:
    layer = Middleware(RequireHere, rates=Rates(Hand()), any_host=True, requests_per_minute=2)
    client = TestClient(app_inside(layer))
    assert client.post("/search", headers={"host": "gpu-3:8080"}).status_code == 200
    foreign = {"host": "gpu-3:8080", "origin": "https://evil.example"}
    assert client.post("/search", headers=foreign).status_code == 403
    assert [client.post("/search").status_code for _ in range(2)] == [200, 429]
