"""The web sheet: one page on this machine, for the keyboard, over the same state as the terminal.

Whoever sends an answer must know the token of this session, which stands in the address behind
the '#' and so is never sent by a browser on its own; and must have asked this machine by its own
name, so that no other page can reach it through a name it has turned (DNS rebinding).
"""

import json
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nearfar.errors import BadSetting, NearfarError
from nearfar.pages import template
from nearfar.release.labelling import MOST_SECONDS, Labeller
from nearfar.release.marks import GRADES
from nearfar.release.texts import Texts, harmless

HOST = "127.0.0.1"
TOKEN = "X-Nearfar-Token"
_OURS = {"127.0.0.1", "localhost", "[::1]"}
_MOST_BYTES = 64 << 10  # of what a page sends
_MOST_NOTE = 2_000  # characters
_SECONDS = 30  # who stops in the middle of a request does not keep a thread longer
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        """Remember both."""
        super().__init__(reason)
        self.status = status


class Sheet:
    """What the page asks of the state; one request at a time."""

    def __init__(self, labeller: Labeller, texts: Texts) -> None:
        """Make a token for this session."""
        self.token = secrets.token_urlsafe(24)
        self._labeller, self._texts = labeller, texts
        self._mutex = threading.Lock()

    def state(self, message: str = "") -> dict[str, Any]:
        """Return what the page shows."""
        with self._mutex:
            return self._state(message)

    def act(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the page asks for, and return what it shows next.

        Raises:
            Refused: the request is none.
        """
        with self._mutex:
            if what == "undo":
                item = self._labeller.undo()
                return self._state("Taken back." if item else "There is nothing to take back.")
            pair = str(asked.get("query_id", "")), str(asked.get("document_id", ""))
            seconds, note = asked.get("seconds", 0.0), asked.get("note", "")
            if (
                not isinstance(seconds, int | float)
                or isinstance(seconds, bool)
                or not 0 <= seconds <= MOST_SECONDS
                or not isinstance(note, str)
                or len(note) > _MOST_NOTE
            ):
                raise Refused(HTTPStatus.BAD_REQUEST, "seconds or note are not allowed.")
            try:
                if what == "skip":
                    self._labeller.skip(pair, seconds=seconds, note=note)
                    return self._state("")
                grade = asked.get("grade")
                if type(grade) is not int:
                    raise Refused(HTTPStatus.BAD_REQUEST, "a grade is a whole number.")
                told = self._labeller.mark(pair, grade, seconds=seconds, note=note)
            except BadSetting as error:
                raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
            return self._state(told or "")

    def _state(self, message: str) -> dict[str, Any]:
        item, standing = self._labeller.current(), self._labeller.standing()
        state: dict[str, Any] = {
            "message": message, "done": standing.done, "total": standing.total,
            "skipped": standing.skipped, "seconds_left": standing.seconds_left,
            "grades": GRADES[self._labeller.scale], "by": self._labeller.by, "pair": None,
        }  # fmt: skip
        if item is not None:
            shown = self._texts.shown(item)
            state["pair"] = {
                "query_id": item.query_id, "document_id": item.document_id,
                "why": harmless(item.why), "query": shown.query, "parts": shown.parts,
                "folded": shown.folded, "more": shown.more,
            }  # fmt: skip
        return state


def serve(sheet: Sheet, port: int) -> ThreadingHTTPServer:
    """Return a server that is bound, and answers once `serve_forever` is called.

    Args:
        sheet: what is served.
        port: of this machine; 0: any that is free.

    Raises:
        BadSetting: the port is taken, or may not be used.
    """
    of_session = {"sheet": sheet, "timeout": _SECONDS, "server_version": "nearfar",
                  "sys_version": ""}  # fmt: skip
    handler = type("_Bound", (_Handler,), of_session)
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        raise BadSetting(
            f"--port {port}: cannot be used ({error}). Name another one, or 0 for any."
        ) from error


def address(sheet: Sheet, server: ThreadingHTTPServer) -> str:
    """Return where the page is, with the token that opens it."""
    return f"http://{HOST}:{server.server_address[1]}/#{sheet.token}"


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    sheet: Sheet

    def do_GET(self) -> None:
        """Answer with the page, or with what it shows."""
        try:
            self._require_here()
            if self.path == "/":
                self._page()
            elif self.path == "/state":
                self._require_token()
                self._json(self.sheet.state())
            else:
                raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here.")
        except (Refused, NearfarError, OSError) as error:
            self._refuse(error)

    def do_POST(self) -> None:
        """Take a mark, a skip, or the taking back of one."""
        try:
            self._require_here()
            self._require_token()
            if self.path not in ("/mark", "/skip", "/undo"):
                raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here.")
            self._json(self.sheet.act(self.path[1:], self._asked()))
        except (Refused, NearfarError, OSError) as error:
            self._refuse(error)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the command line speaks."""

    def _require_here(self) -> None:
        host = (self.headers.get("Host") or "").rpartition(":")
        name = host[0] if host[0] and host[2].isdigit() else self.headers.get("Host", "")
        if name not in _OURS:  # any port: a tunnel may lead here from another one
            raise Refused(HTTPStatus.FORBIDDEN, "this sheet is for this machine alone.")
        origin = self.headers.get("Origin")
        if origin and origin.partition("://")[2] != self.headers.get("Host"):
            raise Refused(HTTPStatus.FORBIDDEN, "another page asked.")

    def _require_token(self) -> None:
        found = self.headers.get(TOKEN, "").encode()
        if not secrets.compare_digest(found, self.sheet.token.encode()):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "the token is of another session. Open the address that the command printed.",
            )

    def _asked(self) -> Mapping[str, Any]:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        length = self.headers.get("Content-Length", "")
        if kind != "application/json" or not length.isdecimal():
            raise Refused(HTTPStatus.BAD_REQUEST, "expected JSON.")
        if len(length) > len(str(_MOST_BYTES)) or int(length) > _MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "that is too long.")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "expected JSON.") from error
        if not isinstance(asked, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "expected a JSON object.")
        return asked

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        text = template("nearfar.release", "label.html").render(nonce=nonce, header=TOKEN)
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", text.encode(),
                   policy=_POLICY.format(nonce=nonce))  # fmt: skip

    def _json(self, state: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        # A text may hold half of a pair of surrogates: escaped, it is sent as it is.
        self._send(status, "application/json", json.dumps(state).encode())

    def _refuse(self, error: Exception) -> None:
        status = error.status if isinstance(error, Refused) else HTTPStatus.INTERNAL_SERVER_ERROR
        self.close_connection = True  # what it sent may not have been read
        try:
            self._json({"error": str(error)}, status)
        except OSError:  # whoever asked is gone
            return

    def _send(
        self, status: HTTPStatus, kind: str, body: bytes, *, policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(body))),
            ("Content-Security-Policy", policy), ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
