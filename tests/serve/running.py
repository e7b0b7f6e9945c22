"""Real servers on this machine, in a thread of the test that uses them."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nearfar.serve.connections import bound
from nearfar.serve.limits import Limits
from nearfar.serve.logs import Log
from nearfar.serve.run import Server, uvicorn_config

_SECONDS = 20  # after which a test fails instead of hanging


class Lines:
    """A log that is kept, line by line."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.text = ""
        self.log = Log(self._write)

    def _write(self, line: str) -> None:
        assert line.endswith("\n")
        assert line.count("\n") == 1
        self.text += line
        self.rows.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["event"] == event]


class _Draining:
    draining = False


@dataclass
class Ending:
    """A server that is asked to end by calls instead of signals, with a clock in hand."""

    address: str
    server: Server
    thread: threading.Thread
    now: list[float]

    def hear(self, sig: signal.Signals) -> None:
        self.server.handle_exit(sig, None)

    def ended(self) -> bool:
        """Wait until it has ended; False: it did not, for long."""
        self.thread.join(_SECONDS)
        return not self.thread.is_alive()


@contextmanager
def ending(
    app: Any, health: Any, limits: Limits | None = None, *, drain_seconds: float = 0.0
) -> Iterator[Ending]:
    """Yield a server that answers, and end it if nobody did."""
    opened, now = threading.Event(), [0.0]
    with bound("127.0.0.1", 0) as (listening, address):
        config = uvicorn_config(app, limits or Limits(), stop_seconds=5)
        server = Server(config, health, drain_seconds, opened.set, clock=lambda: now[0])
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        found = Ending(address, server, thread, now)
        try:
            assert opened.wait(_SECONDS)
            yield found
        finally:
            server.should_exit = True
            assert found.ended()


@contextmanager
def running(app: Any, limits: Limits | None = None) -> Iterator[str]:
    """Yield the address of a server that answers, and end it."""
    with ending(app, _Draining(), limits) as found:
        yield found.address


@contextmanager
def talking(address: str) -> Iterator[socket.socket]:
    """Yield a bare connection, for those who do not behave."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=_SECONDS) as connection:
        yield connection


def all_of(connection: socket.socket) -> bytes:
    """Return all that comes until the other side ends."""
    found = b""
    while block := connection.recv(65_536):
        found += block
    return found
