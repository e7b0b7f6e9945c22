"""/v2/embed, as clients of Cohere speak."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from nearfar.serve.embed_packing import in_base64, packed
from nearfar.serve.embed_vectors import Asked, Vectors, vectors_of
from nearfar.serve.errors import Refusal, declared
from nearfar.serve.queue_clients import TIMING_HEADERS
from nearfar.serve.shapes_cohere import CohereEmbedAnswer, CohereEmbedRequest, EmbeddingType
from nearfar.serve.shapes_json import JsonRoute, answered

router = APIRouter(route_class=JsonRoute, tags=["embeddings"])
API_VERSION = {"version": "2", "is_experimental": False}


@router.post(
    "/v2/embed",
    response_model=CohereEmbedAnswer,
    response_model_exclude_none=True,
    responses={200: {"headers": TIMING_HEADERS}, **declared("cohere")},
)
async def embed(request: Request, body: CohereEmbedRequest) -> Response:
    """Return one vector per text, in their order, in each kind of number that was asked for."""
    texts = _texts(body)
    found = await vectors_of(
        request,
        Asked(
            texts=texts, model=body.model, roles={"input_type": body.input_type},
            dim=None if body.output_dimension is None
            else ("output_dimension", body.output_dimension),
            may_cut=body.truncate != "NONE", most_tokens=body.max_tokens,
            side="start" if body.truncate == "START" else "end",
        ),
    )  # fmt: skip
    content = {
        "id": str(uuid4()),
        "response_type": "embeddings_by_type",
        "embeddings": {
            kind: _told(found.vectors, kind) for kind in body.embedding_types or ["float"]
        },
        "texts": texts,
        "meta": {
            "api_version": API_VERSION,
            "billed_units": {"input_tokens": found.timing.tokens},
        },
    }
    return answered(content, found.timing.headers())


def _texts(body: CohereEmbedRequest) -> list[str]:
    if (body.texts is None) == (body.inputs is None):
        found = "none" if body.texts is None else "both"
        raise Refusal(400, f"Expected either texts or inputs, found {found}.", param="texts")
    if body.texts is not None:
        return body.texts
    return ["\n".join(part.text for part in one.content) for one in body.inputs or ()]


def _told(vectors: Vectors, kind: EmbeddingType) -> list[Any]:
    if kind == "base64":
        return in_base64(packed(vectors, "float"))
    return list(packed(vectors, kind))
