"""/embed, as clients of text-embeddings-inference (TEI) speak."""

import torch
from fastapi import APIRouter, Request, Response

from nearfar.serve.embed_packing import packed
from nearfar.serve.embed_vectors import Asked, vectors_of
from nearfar.serve.errors import declared
from nearfar.serve.queue_clients import TIMING_HEADERS
from nearfar.serve.shapes_json import JsonRoute, answered
from nearfar.serve.shapes_tei import EmbedAnswer, EmbedRequest
from nearfar.vectors.similarity import unit

router = APIRouter(route_class=JsonRoute, tags=["embeddings"])


@router.post(
    "/embed",
    response_model=EmbedAnswer,
    responses={200: {"headers": TIMING_HEADERS}, **declared("tei", 422)},
)
async def embed(request: Request, body: EmbedRequest) -> Response:
    """Return one vector per text, in their order."""
    found = await vectors_of(
        request,
        Asked(
            texts=body.inputs, model=body.model, roles={"prompt_name": body.prompt_name},
            dim=None if body.dimensions is None else ("dimensions", body.dimensions),
            may_cut=body.truncate is not False,
            side="start" if body.truncation_direction.lower() == "left" else "end",
        ),
    )  # fmt: skip
    vectors = found.vectors
    if body.normalize:
        vectors = unit(torch.from_numpy(vectors)).numpy()
    return answered(list(packed(vectors, "float")), found.timing.headers())
