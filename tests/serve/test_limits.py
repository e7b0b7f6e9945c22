"""Limits, against a real server: bodies too long, too slow, heads that never end, crowds."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from running import all_of, running, talking
from starlette.middleware import Middleware

from nearfar.errors import BadSetting
from nearfar.serve.errors import speak_dialects
from nearfar.serve.limits import LimitBody, LimitRequests, Limits

LIMITS = Limits(body_bytes=10_000, head_bytes=4_096)
IMPATIENT = Limits(body_seconds=1.0, head_seconds=1.0)


def app_with(limits: Limits, held: threading.Event | None = None) -> FastAPI:
    app = FastAPI(middleware=[
        Middleware(LimitRequests, requests_at_once=limits.requests_at_once),
        Middleware(LimitBody, body_bytes=limits.body_bytes, body_seconds=limits.body_seconds),
    ])  # fmt: skip
    speak_dialects(app)

    @app.post("/v1/embeddings")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/embed")
    async def understand(body: dict[str, Any]) -> int:
        return len(body)

    @app.get("/hold")
    async def hold() -> str:
        while held is not None and not held.is_set():
            await asyncio.sleep(0.01)
        return "done"

    @app.get("/livez")
    async def livez() -> str:
        return "alive"

    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(app_with(LIMITS), LIMITS) as found:
        yield found


@pytest.fixture(scope="module")
def impatient() -> Iterator[str]:
    with running(app_with(IMPATIENT), IMPATIENT) as found:
        yield found


def test_a_body_up_to_the_limit_is_taken_whole_and_one_byte_more_is_not(address: str) -> None:
    url = f"{address}/v1/embeddings"
    assert httpx.post(url, content=b"x" * 10_000).json() == 10_000
    refused = httpx.post(url, content=b"x" * 10_001)
    assert refused.status_code == 413
    assert "10,000 bytes" in refused.json()["error"]["message"]


def test_a_body_that_says_no_length_is_counted_as_it_comes(address: str) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 5_000
            yield b"x" * 5_000

    with httpx.Client(timeout=20) as client, suppress(httpx.NetworkError):  # or it is cut off
        assert client.post(f"{address}/v1/embeddings", content=endless()).status_code == 413
    assert sent < 20_000_000  # what the system's buffers take is not ours to say
    assert httpx.get(f"{address}/livez").status_code == 200


def test_a_body_that_is_a_bit_too_long_is_told_so_and_not_cut_off(address: str) -> None:
    pieces = iter([b"x" * 4_000] * 5)
    refused = httpx.post(f"{address}/embed", content=pieces)
    assert refused.status_code == 413
    assert refused.json() == {
        "error": "A body may have 10,000 bytes. Send fewer texts at once.",
        "error_type": "validation",
    }
    assert refused.headers["connection"] == "close"


def test_who_asks_before_sending_too_much_need_not_send_it(address: str) -> None:
    with talking(address) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                           b"Content-Length: 9999999\r\n\r\n")  # fmt: skip
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed"])
def test_a_body_that_dribbles_in_is_cut(impatient: str, path: str) -> None:
    with talking(impatient) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                           "Content-Length: 1000\r\n\r\n{".encode())  # fmt: skip
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_dribbling_does_not_buy_time(impatient: str) -> None:
    stop = threading.Event()
    with talking(impatient) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\n"
                           b"Content-Length: 1000\r\n\r\n")  # fmt: skip

        def dribble() -> None:
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            answer = connection.recv(100)  # the test's own time-out is 20 s
        finally:
            stop.set()
            thread.join()
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("head", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_never_ends_ends_the_connection(impatient: str, head: bytes) -> None:
    with talking(impatient) as connection:
        connection.sendall(head)
        assert all_of(connection) == b""


def test_the_second_head_of_a_connection_has_its_clock_too(impatient: str) -> None:
    with talking(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /livez HT")
        all_of(connection)  # ends


def test_a_head_that_is_too_long_is_refused(address: str) -> None:
    with talking(address) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000)
        answer = connection.recv(100)
    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""


def test_a_crowd_is_told_to_come_back_and_whoever_watches_is_answered() -> None:
    held, limits = threading.Event(), Limits(requests_at_once=2)
    with running(app_with(limits, held), limits) as address, httpx.Client(timeout=20) as client:
        codes: list[int] = []
        ask = [
            threading.Thread(target=lambda: codes.append(httpx.get(f"{address}/hold").status_code))
            for _ in range(2)
        ]
        for thread in ask:
            thread.start()
        while (answer := client.post(f"{address}/v1/embeddings", content=b"")).status_code == 200:
            pass  # until both are under way
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "too_many_requests"
        assert client.get(f"{address}/livez").status_code == 200
        held.set()
        for thread in ask:
            thread.join(20)
        assert codes == [200, 200]
        assert client.post(f"{address}/v1/embeddings", content=b"").status_code == 200


@pytest.mark.parametrize("name", ["body_bytes", "head_seconds", "body_seconds", "connections"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        Limits(**{name: 0})
