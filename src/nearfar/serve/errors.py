"""How a server refuses: one refusal, said in the shape that the route's own clients read.

    /v1/embeddings and all others   {"error": {"message", "type", "param", "code"}, "detail"}
    /v2/rerank, /v1/rerank, /v2/embed    {"message", "detail"}                  Cohere, Jina, Voyage
    /embed, /rerank                 {"error", "error_type"}                     TEI

The openai client reads `error`, cohere `message`, voyageai `detail`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

Dialect = Literal["openai", "cohere", "tei"]
_DIALECTS: dict[str, Dialect] = {
    "/v1/rerank": "cohere", "/v2/rerank": "cohere", "/v2/embed": "cohere",
    "/embed": "tei", "/rerank": "tei",
}  # fmt: skip
# Of each status: what OpenAI calls it, what TEI does, and when it is said.
_KINDS: dict[int, tuple[str, str, str]] = {
    400: ("invalid_request_error", "validation", "The request is none that can be answered."),
    401: ("authentication_error", "unauthorized", "There is no key, or none that is known."),
    403: ("permission_error", "unauthorized", "The key does not allow this."),
    404: ("not_found_error", "not_found", "There is no model of that name."),
    405: ("invalid_request_error", "validation", "The route is asked in another way."),
    413: ("invalid_request_error", "validation", "The request is too large."),
    415: ("invalid_request_error", "validation", "The body is not JSON, or is not called so."),
    422: ("invalid_request_error", "validation", "The request is none that can be answered."),
    429: ("rate_limit_error", "overloaded", "Too much is asked; Retry-After says how long."),
    500: ("server_error", "backend", "The model failed."),
    503: ("server_error", "unhealthy", "The server begins or ends."),
}
_DECLARED = (400, 401, 403, 404, 413, 415, 429, 500, 503)


class Refusal(Exception):
    """A request that is not answered, and why.

    Args:
        status: 400 and above.
        message: what was expected, what was found, what to do next.
        code: a word for programs.
        param: the field of the request that is at fault.
        retry_seconds: when to try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_seconds = retry_seconds


class OpenAIFault(BaseModel):
    """What is inside an error of OpenAI's shape."""

    message: str = Field(description="What was expected, what was found, what to do next.")
    type: str
    param: str | None = Field(description="The field that is at fault.")
    code: str | None = Field(description="A word for programs.")


class OpenAIError(BaseModel):
    """An error as openai's clients read it, and voyageai's."""

    error: OpenAIFault
    detail: str


class CohereError(BaseModel):
    """An error as the clients of Cohere, Jina and Voyage read it."""

    message: str
    detail: str


class TeiError(BaseModel):
    """An error as clients of text-embeddings-inference read it."""

    error: str
    error_type: str


_MODELS: dict[Dialect, type[BaseModel]] = {
    "openai": OpenAIError, "cohere": CohereError, "tei": TeiError,
}  # fmt: skip


def body_of(path: str, refusal: Refusal) -> dict[str, Any]:
    """Return what a refusal says to the clients of a path."""
    kind, tei, _ = _KINDS.get(refusal.status, _KINDS[400 if refusal.status < 500 else 500])
    match _DIALECTS.get(path, "openai"):
        case "tei":
            return {"error": refusal.message, "error_type": tei}
        case "cohere":
            return {"message": refusal.message, "detail": refusal.message}
        case _:
            fault = {
                "message": refusal.message, "type": kind,
                "param": refusal.param, "code": refusal.code,
            }  # fmt: skip
            return {"error": fault, "detail": refusal.message}


def answer_of(path: str, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says a refusal to the clients of a path."""
    said = dict(headers or {})
    if refusal.retry_seconds is not None:
        said["retry-after"] = str(refusal.retry_seconds)
    body = orjson.dumps(body_of(path, refusal))
    return Response(body, refusal.status, headers=said, media_type="application/json")


def declared(dialect: Dialect, *others: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route's documentation says of its refusals.

    "default" stands for those of middlewares around it, and keeps FastAPI from declaring a 422
    of its own shape.
    """
    model = _MODELS[dialect]
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": model, "description": _KINDS[status][2]}
        for status in sorted({*_DECLARED, *others})
    }
    found[429]["headers"] = {
        "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
    }
    found["default"] = {"model": model, "description": "Any other refusal."}
    return found


def speak_dialects(app: FastAPI) -> None:
    """Make everything that an application refuses speak the dialect of its path."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return answer_of(request.url.path, error)

    async def unread(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        tei = _DIALECTS.get(request.url.path) == "tei"
        return answer_of(request.url.path, _of_validation(error, 422 if tei else 400))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        refusal = Refusal(error.status_code, str(error.detail))
        return answer_of(request.url.path, refusal, error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        return answer_of(request.url.path, Refusal(500, "The server failed; its log says why."))

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, unread)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, failed)


def _of_validation(error: RequestValidationError, status: int) -> Refusal:
    """Say the first fault; what was sent is not repeated, it may be long or private."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        said = str(first.get("ctx", {}).get("error", "it cannot be read"))
        return Refusal(400, f"Expected a body of JSON, found none: {said}.", code="invalid_json")
    param = ".".join(where) or None
    if not where:
        return Refusal(status, "Expected a body that is a JSON object.", code="invalid_body")
    code = first["type"] if first["type"] in _OWN_CODES else "invalid_value"
    said = str(first["msg"]).rstrip(".")
    return Refusal(status, f"{param}: {said}.", code=code, param=param)


_OWN_CODES = ("token_ids_not_supported",)  # of `shapes.py`, told to programs
