"""Connections to a PostgreSQL server: lent one by one, opened anew when lost, told of plainly."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from nearfar.errors import BadFile, BadSetting, NearfarError, StoreFull, said

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

_AT_ONCE = 8  # connections that one store uses: PostgreSQL takes 100 in all, if not told otherwise
_CONNECT_SECONDS = 10
_SILENT_MS = 30_000  # a server that takes nothing in for so long is gone
_RESTART_SECONDS = 15.0  # how long a server that was there is waited for: a crash is repaired first
_PAUSE_SECONDS = 0.1
# Compiling a query costs more than most of these take; nobody waits for a lock for ever.
_SETTINGS = "select set_config('jit', 'off', false), set_config('lock_timeout', '60s', false)"


class _Lost(BadFile):
    """The connection ended in the midst of something."""


class Connections:
    """Connections to one database, shared by threads; each is used by one at a time."""

    def __init__(
        self, url: str, *, keep: bool, prepare: Callable[[Connection], None] | None = None
    ) -> None:
        """Open none yet.

        Args:
            url: postgresql://user:password@host:port/database, or what else libpq takes.
            keep: whether connections stay open between uses, until `close`.
            prepare: called with each new connection.

        Raises:
            BadSetting: the address cannot be read.
        """
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error:
            # Without its cause: what the library says can hold the password.
            raise BadSetting(
                "The address of PostgreSQL cannot be read. Expected postgresql://user:password@"
                "host:port/database; in a password '@' is written %40, '/' %2F and a space %20."
            ) from None
        host = parts.get("host") or parts.get("hostaddr") or "its usual place"
        at = f"{host}:{parts['port']}" if parts.get("port") else f"{host}"
        self.name = f"PostgreSQL at {at}, database {parts.get('dbname') or 'of the user'}"
        self._url, self._password = url, str(parts.get("password") or "")
        given = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": _SILENT_MS}
        self._limits: dict[str, Any] = {n: v for n, v in given.items() if n not in parts}
        self._keep, self._prepare = keep, prepare
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._idle: list[Connection] = []  # append and pop are one step each
        self._seen = self._closed = False

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what some work with a connection returns; done again if it is lost, once.

        Raises:
            BadFile: the server cannot be reached, or not read.
            BadSetting: its user may not do this.
        """
        try:
            with self._lent() as connection:
                return work(connection)
        except _Lost:
            with self._lent() as connection:
                return work(connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what some work with a connection returns; it is never done twice.

        Raises:
            BadFile: the server cannot be reached, or was lost on the way.
            BadSetting: its user may not do this.
            StoreFull: the server has no more room.
        """
        try:
            with self._lent(probe=True) as connection:
                return work(connection)
        except _Lost as lost:
            raise BadFile(
                f"{lost} Whether this write was kept is not known: do it again, which changes "
                "nothing that was kept."
            ) from lost

    def close(self) -> None:
        """Close every connection, and let go of what each held on the server."""
        self._closed = True
        self._close_idle()

    def __del__(self) -> None:
        # Of a store that was forgotten, not closed. Its locks fall as the server notices.
        for connection in getattr(self, "_idle", ()):
            connection.close()

    @contextmanager
    def _lent(self, *, probe: bool = False) -> Iterator[Connection]:
        with self._room:
            connection = self._take(probe)
            try:
                yield connection
            except psycopg.Error as error:
                if not _is_lost(connection, error):
                    raise self._told(error) from error
                self._close_idle()  # they are of the same server
                raise _Lost(f"{self.name}: the connection was lost ({self._plain(error)}).") from (
                    error
                )
            finally:
                self._give_back(connection)

    def _take(self, probe: bool) -> Connection:
        if self._closed:
            raise ValueError(f"{self.name}: this store was closed.")
        try:
            connection = self._idle.pop()
            if probe:
                connection.execute("")
            return connection
        except IndexError:
            return self._open()
        except psycopg.OperationalError:
            connection.close()
            self._close_idle()
            return self._open()

    def _give_back(self, connection: Connection) -> None:
        usable = connection.info.transaction_status == TransactionStatus.IDLE
        if self._keep and usable and not self._closed:
            self._idle.append(connection)
        else:
            _let_go(connection)

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                _let_go(self._idle.pop())

    def _open(self) -> Connection:
        """Return a new connection; a server that was there is waited for, as it repairs itself."""
        deadline = time.monotonic() + (_RESTART_SECONDS if self._seen else 0.0)
        while True:
            try:
                connection = self._new()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise BadFile(
                        f"{self.name}: no connection ({self._plain(error)}). See that the server "
                        "runs, and that host, port, user, password and database of its address "
                        "are right."
                    ) from error
                time.sleep(_PAUSE_SECONDS)
            except psycopg.Error as error:
                raise self._told(error) from error
            else:
                self._seen = True
                return connection

    def _new(self) -> Connection:
        # Never prepared: what stands between may give each transaction another session.
        connection = psycopg.connect(
            self._url, autocommit=True, prepare_threshold=None, **self._limits
        )
        try:
            connection.execute(_SETTINGS)
            if self._prepare is not None:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _told(self, error: psycopg.Error) -> NearfarError:
        """Return what is raised in place of an error of the library."""
        what = f"{self.name}: {self._plain(error)}."
        if isinstance(error, errors.DiskFull):
            return StoreFull(
                f"{what} Nothing of this call was kept. Make room on the server, and do it again."
            )
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return BadSetting(f"{what} Ask for the right, or name a user or server that has it.")
        if isinstance(error, errors.LockNotAvailable):
            return BadFile(f"{what} Another process has been writing for a minute: try later.")
        if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
            return BadFile(f"{what} The version was removed or damaged. Open another, or build it.")
        return BadFile(f"{what} Nothing of this call was kept; the log of the server may say more.")

    def _plain(self, error: psycopg.Error) -> str:
        plain = said(error).rstrip(".")
        return plain.replace(self._password, "***") if self._password else plain


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """Let all that is read see the database as it was at the first look."""
    with connection.pipeline(), connection.transaction():  # its parts travel together
        connection.execute("set transaction isolation level repeatable read, read only")
        yield


def _is_lost(connection: Connection, error: psycopg.Error) -> bool:
    """Return whether the session is over: 57P and 08 are the server's words for it."""
    over = error.sqlstate is None or error.sqlstate.startswith(("57P", "08"))
    return bool(connection.closed) or (isinstance(error, psycopg.OperationalError) and over)


def _let_go(connection: Connection) -> None:
    """Close a connection; its locks fall now, not when the server notices that it ended."""
    with suppress(psycopg.Error):
        if not connection.closed:
            connection.execute("select pg_advisory_unlock_all()")
    connection.close()
