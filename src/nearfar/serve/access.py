"""Who may ask what: a key, the right that a route needs, and the rate of the key.

Without keys only this machine is served. A browser runs pages of strangers
on this machine too, so then a request must name this machine, and no page of another origin may
send one: a name that was turned to point here (DNS rebinding), or a form that posts here.
"""

import ipaddress
import math
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from nearfar.serve.errors import Refusal
from nearfar.serve.keys import KeyRing, Right
from nearfar.serve.limits import refuse
from nearfar.serve.rates import Rates

OPEN = ("/livez", "/readyz")  # those who watch a process need no key, and learn nothing more
# What is sent with POST and yet changes nothing; feedback is of whoever may search.
ASKING = frozenset({
    "/v1/embeddings", "/v1/rerank", "/v2/rerank", "/v2/embed", "/embed", "/rerank", "/search",
    "/feedback",
})  # fmt: skip
_LOOKING = ("GET", "HEAD", "OPTIONS")
_BEARER = b"bearer "


def right_for(method: str, path: str) -> Right | None:
    """Return the right that a request needs; None: anybody may.

    What is not known to change nothing needs the right to write, so a route that is forgotten
    here is closed to readers, not open.
    """
    path = path.rstrip("/") or "/"
    if path in OPEN:
        return None
    if path == "/admin" or path.startswith("/admin/"):
        return "admin"
    if method in _LOOKING or (method == "POST" and path in ASKING):
        return "read"
    return "write"


class RequireKey:
    """Answers 401 without a key that holds, 403 without the right, 429 above the key's rate."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        ring: KeyRing,
        rates: Rates,
        requests_per_minute: float | None = None,
    ) -> None:
        """Look keys up in `ring`; those that say no rate of their own have the one given."""
        self._app, self._ring, self._rates = app, ring, rates
        self._rate = requests_per_minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse before anything is understood."""
        refusal = self._judge(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        unknown = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}
        await refuse(scope, receive, send, refusal, unknown)

    def _judge(self, scope: Scope) -> Refusal | None:
        right = right_for(scope["method"], scope["path"])
        if right is None:
            return None
        token = bearer(scope)
        if token is None:
            return Refusal(401, "Expected the header 'Authorization: Bearer KEY', found none.",
                           code="missing_api_key")  # fmt: skip
        key = self._ring.find(token)
        if key is None:
            return Refusal(401, "This key is not known here, or was revoked. Ask for a new one.",
                           code="invalid_api_key")  # fmt: skip
        scope.setdefault("state", {})["key"] = key.name
        if not key.may(right):
            return Refusal(
                403, f"This needs the right to {right}, and the key {key.name!r} has: "
                f"{', '.join(key.rights)}.", code="missing_right",
            )  # fmt: skip
        rate = self._rate if key.requests_per_minute is None else key.requests_per_minute
        return _too_often(self._rates.take(key.name, rate), rate)


class RequireHere:
    """Without keys: answers this machine alone, and no page of another origin."""

    def __init__(self, app: ASGIApp, *, rates: Rates, requests_per_minute: float | None = None,
                 any_host: bool = False, origins: Sequence[str] = ()) -> None:  # fmt: skip
        """Know what the operator allows.

        Args:
            app: what is inside.
            rates: of all who ask together.
            requests_per_minute: the most; None: no end.
            any_host: whether all who reach the port may ask.
            origins: whose pages may ask.
        """
        self._app, self._rates, self._rate = app, rates, requests_per_minute
        self._any_host, self._origins = any_host, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse before anything is understood."""
        refusal = self._judge(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        await refuse(scope, receive, send, refusal)

    def _judge(self, scope: Scope) -> Refusal | None:
        if right_for(scope["method"], scope["path"]) is None:
            return None
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._any_host and not is_here(_name(f"//{host}")):
            return Refusal(
                403, "Without keys this server is for its own machine, asked for as localhost. "
                "Serve others with --keys.", code="not_here",
            )  # fmt: skip
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != host and origin not in self._origins:
            return Refusal(403, "A page of another origin asked.", code="foreign_origin")
        return _too_often(self._rates.take("", self._rate), self._rate)


def is_here(host: str) -> bool:
    """Tell whether an address or a name means this machine alone, whoever uses it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bearer(scope: Scope) -> str | None:
    """Return the key that a request carries; None: it carries none."""
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return str(value[len(_BEARER) :].decode("latin-1").strip()) or None
    return None


def _too_often(seconds: float, rate: float | None) -> Refusal | None:
    if seconds <= 0:
        return None
    wait = max(1, math.ceil(seconds))
    return Refusal(429, f"More than {rate:g} requests a minute. Try again in {wait} s.",
                   code="rate_limit_exceeded", retry_seconds=wait)  # fmt: skip


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets without an address between them
        return ""
