"""What the server writes about itself: one line of JSON for each request, and for each event.

No text of users is in it unless asked for: no query, no document, no address, no key, no header.
"""

import datetime as dt
import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nearfar.serve.access import ASKING
from nearfar.serve.limits import WATCHING
from nearfar.serve.queue_clients import Timing

GONE = 499  # instead of a status, where the client left before it was answered; as nginx does
ID_HEADER = "x-request-id"
_FIXED = frozenset({*ASKING, *WATCHING, "/documents"})
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")  # what could begin a line of its own is none
_MOST_TEXT = 2_000  # bytes of a body that are written, where that is asked for

Write = Callable[[str], object]  # takes a line


class Log:
    """Writes lines of JSON; a line is whole, whatever stands in it."""

    def __init__(self, write: Write, *, now: Callable[[], dt.datetime] | None = None) -> None:
        """Write to `write`, with the time of `now`; None: the clock."""
        self._write = write
        self._now = now or (lambda: dt.datetime.now(dt.UTC))

    def __call__(self, event: str, **facts: Any) -> None:
        """Write what happened; facts that are None are left out."""
        row = {"at": self._now().isoformat(timespec="milliseconds"), "event": event}
        row |= {name: value for name, value in facts.items() if value is not None}
        # ASCII: escaped are line ends of all kinds, and what a terminal would take for orders.
        self._write(json.dumps(row, ensure_ascii=True, default=str) + "\n")

    def tell(self, sentence: str) -> None:
        """Write a sentence."""
        self("note", message=sentence)


class LogRequests:
    """Gives each request an id, in and out, and writes a line when it is answered."""

    def __init__(self, app: ASGIApp, *, log: Log, texts: bool = False) -> None:
        """Write to `log`; with `texts`, the first 2,000 bytes of what was sent too."""
        self._app, self._log, self._texts = app, log, texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then write."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = _Sent(request_id(scope), keep=_MOST_TEXT if self._texts else 0)
        scope.setdefault("state", {})["request_id"] = sent.id
        began = time.perf_counter()
        try:
            await self._app(scope, sent.receiving(receive), sent.sending(send))
        except Exception:
            sent.status = sent.status or 500  # this is answered further out
            raise
        finally:
            self._log(
                "request", **sent.facts(), **_measured(timing_of(scope)),
                key=scope["state"].get("key"), method=scope["method"], route=route_of(scope),
                ms=_milliseconds(time.perf_counter() - began),
            )  # fmt: skip


class _Sent:
    """What came in and went out of one request, counted as it passes."""

    def __init__(self, request_id: str, *, keep: int) -> None:
        self.id = request_id
        self.status = 0
        self.bytes_in = self.bytes_out = 0
        self._keep, self._text = keep, bytearray()

    def receiving(self, receive: Receive) -> Receive:
        async def count() -> Message:
            message = await receive()
            body = message.get("body", b"")
            self.bytes_in += len(body)
            self._text += body[: max(0, self._keep - len(self._text))]
            return message

        return count

    def sending(self, send: Send) -> Send:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                own = (ID_HEADER.encode(), self.id.encode())
                message = {**message, "headers": [*message.get("headers", []), own]}
            self.bytes_out += len(message.get("body", b""))
            await send(message)

        return count

    def facts(self) -> dict[str, Any]:
        text = self._text.decode("utf-8", "replace") if self._keep else None
        return {"request_id": self.id, "status": self.status or GONE, "bytes_in": self.bytes_in,
                "bytes_out": self.bytes_out, "text": text}  # fmt: skip


def request_id(scope: Scope) -> str:
    """Return the id that the client sent, if it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == ID_HEADER.encode() and _ID.fullmatch(value):
            return str(value.decode())
    return secrets.token_hex(16)


def timing_of(scope: Scope) -> Timing | None:
    """Return what the route measured; None: it computes nothing, or did not come so far."""
    found = scope.get("state", {}).get("timing")
    return found if isinstance(found, Timing) else None


def route_of(scope: Scope) -> str:
    """Return the template of a request's route; of all paths that are none "unknown".

    What was refused before a route was looked for has its path, where that is one of a few.
    """
    known = scope["path"] if scope["path"] in _FIXED else "unknown"
    return getattr(scope.get("route"), "path", None) or known


def _measured(timing: Timing | None) -> dict[str, Any]:
    if timing is None:
        return {}
    return {
        "tokens": timing.tokens, "cut_texts": timing.cut_texts or None,
        "queue_ms": _milliseconds(timing.queue_seconds),
        "compute_ms": _milliseconds(timing.compute_seconds),
    }  # fmt: skip


def _milliseconds(seconds: float) -> float:
    return round(1_000 * seconds, 2)


class ServerLines(logging.Handler):
    """What the HTTP server says of itself, as lines of the same log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; of an error where it happened, not its message: that may hold a text."""
        kind = where = None
        if record.exc_info and record.exc_info[0] is not None:
            kind = record.exc_info[0].__name__
            where = [f"{one.filename}:{one.lineno} {one.name}"
                     for one in traceback.extract_tb(record.exc_info[2])]  # fmt: skip
        self._log("server", level=record.levelname.lower(), message=record.getMessage(),
                  error=kind, where=where)  # fmt: skip
