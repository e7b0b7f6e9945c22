"""How bodies are read and answers written: by orjson, which is strict and fast."""

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from nearfar.serve.errors import Refusal


class JsonRoute(APIRoute):
    """A route whose body is JSON and says so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with our way to read before it."""
        handler = super().get_route_handler()

        async def read(request: Request) -> Response:
            if self.body_field is not None:
                _require_json(request)
            reader = _Reader(request.scope, request.receive)
            await reader.body()  # what middlewares raise there is theirs to say
            return await handler(reader)

        return read


class _Reader(Request):
    async def json(self) -> Any:
        # Deep nesting, lone surrogates, NaN and bytes that are no UTF-8 are errors of the text.
        return orjson.loads(await self.body())


def answered(content: Any, headers: dict[str, str] | None = None) -> Response:
    """Return an answer of JSON; arrays of numpy are written as they are."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, headers=headers, media_type="application/json")


def _require_json(request: Request) -> None:
    said = Message()
    said["content-type"] = request.headers.get("content-type", "")
    kind = said.get_content_type() if said["content-type"] else "none"
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Refusal(
            415, f"Expected the header Content-Type: application/json, found {kind[:80]}.",
            code="not_json",
        )  # fmt: skip
