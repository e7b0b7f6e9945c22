"""How much a client may send, how slowly, and how much is under way at once.

What a text or a list may be is said where it is read (`served.Bounds`); here bytes are counted
and clocks are held, before anything is understood.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nearfar.errors import require
from nearfar.serve.errors import Refusal, answer_of

WATCHING = ("/livez", "/readyz", "/metrics")  # are answered however much is under way
_LINGER_SECONDS = 2.0  # so long we listen to what is too long: who is cut off reads no answer
_PASSED_OVER_BYTES = 4 << 20
_CLOSE = {"connection": "close"}  # what was not read must not be taken for the next request


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one request, and of all at once."""

    body_bytes: int = 16 << 20
    head_bytes: int = 16 << 10  # request line and headers
    head_seconds: float = 10.0  # from the first byte of a request, or of a connection, to its body
    body_seconds: float = 60.0  # from the first wait for the body to its end
    idle_seconds: float = 60.0  # a connection without a request is kept; longer than proxies do
    requests_at_once: int = 256  # being answered; more get 429
    connections: int = 2_048  # being open; more get 503
    requests_per_minute: float | None = None  # of keys that say nothing else; None: no end

    def __post_init__(self) -> None:
        for name in ("body_bytes", "head_bytes", "head_seconds", "body_seconds", "idle_seconds",
                     "requests_at_once", "connections"):  # fmt: skip
            require(getattr(self, name) > 0, f"limits.{name}", "above 0", getattr(self, name))
        rate = self.requests_per_minute
        require(rate is None or rate >= 1, "limits.requests_per_minute", "1 or more", rate)


class LimitRequests:
    """Answers 429 at once while as many requests as allowed are under way."""

    def __init__(self, app: ASGIApp, *, requests_at_once: int) -> None:
        self._app, self._most = app, requests_at_once
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request while it lasts; whoever watches the server is always answered."""
        if scope["type"] != "http" or scope["path"] in WATCHING:
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            message = f"{self._most} requests are under way. Try again in a second."
            refusal = Refusal(429, message, code="too_many_requests", retry_seconds=1)
            await refuse(scope, receive, send, refusal)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    refusal: Refusal,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Answer a request whose body nobody wants.

    A little of it is read and dropped, since who is cut off in the middle of sending reads no
    answer; of one that is long or slow the connection ends.
    """
    whole = await _passed_over(scope, receive)
    closing = {} if whole else _CLOSE
    await answer_of(scope["path"], refusal, {**headers, **closing})(scope, receive, send)


async def _passed_over(scope: Scope, receive: Receive) -> bool:
    if any(name == b"expect" for name, _ in scope["headers"]):
        return False  # it was not sent yet, and need not be
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while read <= _PASSED_OVER_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return True
    return False


class LimitBody:
    """Counts a body as it comes in: 413 when it is too long, 408 when it takes too long.

    The refusal is raised where the body is read, so that the route's own way of saying it holds.
    """

    def __init__(self, app: ASGIApp, *, body_bytes: int, body_seconds: float) -> None:
        self._app, self._bytes, self._seconds = app, body_bytes, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, from a body that is counted."""
        if scope["type"] == "http":
            receive = _Body(receive, self._bytes, self._seconds, scope["headers"]).read
        await self._app(scope, receive, send)


class _Body:
    """One body, on its way in."""

    def __init__(self, receive: Receive, most: int, seconds: float,
                 headers: Iterable[tuple[bytes, bytes]]) -> None:  # fmt: skip
        self._receive, self._most, self._seconds = receive, most, seconds
        said = dict(headers)
        length = said.get(b"content-length", b"")
        self._announced = int(length[:20]) if length.isdigit() else 0
        self._asks_first = b"expect" in said  # then nothing was sent yet, and need not be
        self._read, self._more = 0, True
        self._until: float | None = None

    async def read(self) -> Message:
        """Return the next piece; after the last, whatever the server says."""
        if not self._more:
            return await self._receive()
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        if self._announced > self._most:
            await self._refuse_long()
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            self._more = False
            raise HTTPException(
                408, f"The body was not here after {self._seconds:g} seconds.", _CLOSE
            ) from None
        self._count(message)
        if self._read > self._most:
            await self._refuse_long()
        return message

    def _count(self, message: Message) -> None:
        self._read += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)

    async def _refuse_long(self) -> None:
        """Listen a little longer, keeping nothing: who sends a bit too much shall read why not."""
        if self._read or not self._asks_first:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    while self._more and self._read <= 2 * self._most:
                        self._count(await self._receive())
        self._more = False
        raise HTTPException(
            413, f"A body may have {self._most:,} bytes. Send fewer texts at once.", _CLOSE
        )
