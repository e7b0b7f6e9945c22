"""An application asked without a network: its lifespan around a test, and doubles that wait."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from doubles import LetterEncoder
from fastapi import FastAPI
from torch import Tensor

from nearfar.progress import Progress, silent
from nearfar.records import Role

SECONDS = 20  # after which a test fails instead of hanging


class HeldEncoder(LetterEncoder):
    """Counts letters, but only while it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.began = threading.Event(), threading.Event()
        self.may.set()
        self.asked: list[list[str]] = []

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        self.began.set()
        assert self.may.wait(SECONDS)
        self.asked.append(list(contents))
        return super().encode(contents, role)

    def hold(self) -> None:
        self.may.clear()
        self.began.clear()

    async def holds(self) -> None:
        """Wait until something is being computed."""
        assert await asyncio.to_thread(self.began.wait, SECONDS)


def in_app(app: FastAPI, test: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Run a test beside an application that has begun, and let that end."""

    async def run() -> Any:
        async with asyncio.timeout(SECONDS), app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await test(client)

    return asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until something holds."""
    while not holds():
        await asyncio.sleep(0)


class Leaving:
    """A client that sends a request and may leave before it is answered."""

    def __init__(self, app: FastAPI, path: str, body: bytes) -> None:
        self._app, self._body, self._sent = app, body, False
        self._gone = asyncio.Event()
        self.status = 0
        self._scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": [(b"content-type", b"application/json")],
            "http_version": "1.1", "scheme": "http", "asgi": {"version": "3.0"},
            "client": ("test", 1), "server": ("test", 80), "root_path": "",
        }  # fmt: skip
        self.asking = asyncio.create_task(self._app(self._scope, self._receive, self._send))

    def leave(self) -> None:
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
