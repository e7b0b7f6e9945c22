"""/v1/embeddings and /v1/models, as the clients of OpenAI and Voyage speak."""

from time import time
from typing import Any

from fastapi import APIRouter, Request, Response

from nearfar.serve.embed_packing import in_base64, packed
from nearfar.serve.embed_roles import ROLES
from nearfar.serve.embed_vectors import Asked, vectors_of
from nearfar.serve.errors import Refusal, declared
from nearfar.serve.queue_clients import TIMING_HEADERS, Work
from nearfar.serve.served import Offer
from nearfar.serve.shapes import EmbeddingAnswer, EmbeddingRequest, ModelsAnswer
from nearfar.serve.shapes_json import JsonRoute, answered

router = APIRouter(route_class=JsonRoute, tags=["embeddings"])
_BEGAN = int(time())


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingAnswer,
    responses={200: {"headers": TIMING_HEADERS}, **declared("openai")},
)
async def embeddings(request: Request, body: EmbeddingRequest) -> Response:
    """Return one vector per text, in their order: what the model's `encode` returns.

    A query and a document may have prompts of their own on the model's card. `input_type`,
    `prompt_name` or `task` says which a text is; so does the model name with `:query` or
    `:document` behind it.
    """
    roles = {name: getattr(body, name) for name in ("input_type", "prompt_name", "task")}
    found = await vectors_of(
        request,
        Asked(
            texts=body.input, model=body.model, roles=roles, dim=_dim(body),
            may_cut=body.truncation is not False,
        ),
    )  # fmt: skip
    rows = packed(found.vectors, body.output_dtype or "float")
    told: Any = in_base64(rows) if body.encoding_format == "base64" else list(rows)
    tokens = found.timing.tokens
    content = {
        "object": "list",
        "model": found.model,
        "data": [
            {"object": "embedding", "index": place, "embedding": row}
            for place, row in enumerate(told)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return answered(content, found.timing.headers())


@router.get("/v1/models", response_model=ModelsAnswer)
async def models(request: Request) -> Response:
    """Return every model that can be asked for, the defaults first."""
    work: Work = request.app.state.work
    return answered({"object": "list", "data": _rows(work.serving.offer)})


def _dim(body: EmbeddingRequest) -> tuple[str, int] | None:
    said = {
        name: value
        for name in ("dimensions", "output_dimension")
        if (value := getattr(body, name)) is not None
    }
    if len(set(said.values())) > 1:
        raise Refusal(
            400, f"Expected one number of dimensions, found {said}.", param="dimensions"
        )  # fmt: skip
    return next(iter(said.items()), None)


def _rows(offer: Offer) -> list[dict[str, Any]]:
    rows = []
    for name, served in sorted(offer.models.items(), key=lambda item: item[0] != offer.model):
        space = served.space
        names = [name, *(f"{name}:{role}" for role in ROLES if served.divides_roles)]
        rows += [
            _row(each, "embedding", space.fingerprint, served.allowed_dims, space.max_tokens)
            for each in names
        ]
    reading = sorted(offer.rerankers.items(), key=lambda item: item[0] != offer.reranker)
    for name, reranking in reading:
        most = getattr(reranking.reranker, "max_tokens", None)
        rows.append(_row(name, "rerank", None, (), most))
    return rows


def _row(
    name: str, kind: str, space: str | None, dims: tuple[int, ...], most: int | None
) -> dict[str, Any]:
    return {
        "id": name, "object": "model", "created": _BEGAN, "owned_by": "nearfar",
        "kind": kind, "space": space, "dimensions": list(dims), "max_tokens": most,
    }  # fmt: skip
