"""The port, and connections that may not idle in the middle of a request's head.

uvicorn bounds how long a head is (`h11_max_incomplete_event_size`), how long a connection is kept
between requests, and how many there are; it waits for ever for the rest of a head that has begun,
and for the first byte of a connection. Here a clock runs then. Bodies have theirs in `limits`.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from nearfar.errors import BadSetting, said


@contextmanager
def bound(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Yield a socket that has its port, before any model is loaded, and its address.

    Raises:
        BadSetting: the port is taken, or the host is none of this machine.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind)
    except OSError as error:
        raise BadSetting(
            f"--host {host}: expected an address of this machine ({said(error)}). 127.0.0.1 is "
            "for itself, 0.0.0.0 for everybody."
        ) from error
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(where)  # it listens once models are loaded: nobody is kept waiting
        except OSError as error:
            raise BadSetting(
                f"--port {port}: cannot be used on {host} ({said(error)}). End what uses it, or "
                "name another port; 0 is any that is free."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        yield listening, f"http://{shown}:{listening.getsockname()[1]}"


def protocol(head_seconds: float) -> type[asyncio.Protocol]:
    """Return the kind of connection that ends when a head takes longer."""
    return type("_Bounded", (_Connection,), {"head_seconds": head_seconds})


class _Connection(H11Protocol):
    """uvicorn's connection, with one more clock."""

    head_seconds: float

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, object],
                 _loop: asyncio.AbstractEventLoop | None = None) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state, _loop)
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wind()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # IDLE: of the next request something is here, but not its whole head.
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wind()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wind(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(self.head_seconds, self._close)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
