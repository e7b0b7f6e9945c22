"""Logs: a line for each request, ids in and out, and no text that nobody asked for."""

import json
import logging
from typing import Any

import pytest
from doubles import LetterEncoder
from running import Lines
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from nearfar.serve.app import create_app
from nearfar.serve.logs import LogRequests, ServerLines
from nearfar.serve.served import Offer, Served, Serving

SECRET = "my-private-question"


def client_of(lines: Lines, *, texts: bool = False) -> TestClient:
    serving = Serving(Offer.of([Served(name="letters", encoder=LetterEncoder())]))
    layer = Middleware(LogRequests, log=lines.log, texts=texts)
    return TestClient(create_app(serving, middleware=[layer]), raise_server_exceptions=False)


def ask(client: TestClient, **headers: str) -> Any:
    body = {"input": SECRET, "model": "letters"}
    return client.post(f"/v1/embeddings?q={SECRET}", json=body, headers=headers)


def test_a_request_is_one_line_that_says_what_it_took_and_no_text() -> None:
    lines = Lines()
    with client_of(lines) as client:
        answer = ask(client, authorization=f"Bearer {SECRET}", cookie=SECRET)
    (row,) = lines.of("request")
    assert row["status"] == answer.status_code == 200
    assert row["route"] == "/v1/embeddings"
    assert row["method"] == "POST"
    assert row["tokens"] > 0
    assert row["bytes_in"] == len(answer.request.content)
    assert row["bytes_out"] == len(answer.content)
    assert row["ms"] >= row["compute_ms"] >= 0
    assert row["at"].endswith("+00:00")
    assert SECRET not in lines.text


def test_texts_are_written_where_that_is_asked_for_and_never_without_end() -> None:
    lines = Lines()
    with client_of(lines, texts=True) as client:
        ask(client)
        client.post("/v1/embeddings", json={"input": "x" * 9_000, "model": "letters"})
    short, long = lines.of("request")
    assert SECRET in short["text"]
    assert len(long["text"]) == 2_000


@pytest.mark.parametrize("sent", ["abc", "01J:trace.7_x-", "a" * 128])
def test_an_id_that_is_harmless_goes_through(sent: str) -> None:
    lines = Lines()
    with client_of(lines) as client:
        assert ask(client, **{"x-request-id": sent}).headers["x-request-id"] == sent
    assert lines.of("request")[0]["request_id"] == sent


@pytest.mark.parametrize(
    "sent", ["", "a" * 129, 'a"}', "a b", "a\x1b[31m", "a\tb", "\xff", "a;b", "{}"]
)
def test_an_id_that_is_not_harmless_is_replaced(sent: str) -> None:
    lines = Lines()
    with client_of(lines) as client:
        answer = client.get("/v1/models", headers={b"x-request-id": sent.encode("latin-1")})
    found = answer.headers["x-request-id"]
    assert found != sent
    assert len(found) == 32
    assert lines.of("request")[0]["request_id"] == found


def test_what_stands_in_a_line_cannot_begin_another() -> None:
    lines = Lines()  # holds every line to be one
    lines.log("note", message='a\n{"event": "forged"}\r\u2028\u0085\x1b[2J')
    assert [row["event"] for row in lines.rows] == ["note"]
    assert all(32 <= ord(letter) < 127 for letter in lines.text.rstrip("\n"))


def test_paths_and_methods_of_strangers_are_not_repeated() -> None:
    lines = Lines()
    with client_of(lines) as client:
        assert client.get(f"/{SECRET}").status_code == 404
    assert lines.of("request")[0]["route"] == "unknown"
    assert SECRET not in lines.text


def test_an_error_of_ours_is_a_line_with_its_place_and_without_its_message() -> None:
    lines = Lines()
    logger = logging.getLogger("test_logs")
    logger.addHandler(ServerLines(lines.log))
    logger.propagate = False
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("it failed")
    (row,) = lines.of("server")
    assert row["error"] == "ValueError"
    assert row["message"] == "it failed"
    assert "test_logs.py" in row["where"][-1]
    assert SECRET not in lines.text


def test_a_request_that_fails_is_written_too() -> None:
    class Broken(LetterEncoder):
        def encode(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError(SECRET)

    lines = Lines()
    serving = Serving(Offer.of([Served(name="broken", encoder=Broken())]))
    app = create_app(serving, middleware=[Middleware(LogRequests, log=lines.log)])
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/v1/embeddings", json={"input": "a", "model": "broken"})
    assert answer.status_code == 500
    assert lines.of("request")[0]["status"] == 500
    assert json.dumps(lines.rows).count(SECRET) == 0
