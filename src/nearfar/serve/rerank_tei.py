"""/rerank, as clients of text-embeddings-inference (TEI) speak."""

from typing import Any

from fastapi import APIRouter, Request, Response

from nearfar.serve.errors import declared
from nearfar.serve.queue_clients import TIMING_HEADERS
from nearfar.serve.rerank_scores import AskedRanks, ranks_of
from nearfar.serve.shapes_json import JsonRoute, answered
from nearfar.serve.shapes_tei import TeiRerankAnswer, TeiRerankRequest

router = APIRouter(route_class=JsonRoute, tags=["rerank"])


@router.post(
    "/rerank",
    response_model=TeiRerankAnswer,
    response_model_exclude_none=True,
    responses={200: {"headers": TIMING_HEADERS}, **declared("tei", 422)},
)
async def rerank(request: Request, body: TeiRerankRequest) -> Response:
    """Return texts by how well they answer a query, best first."""
    found = await ranks_of(
        request,
        AskedRanks(
            query=body.query, documents=body.texts, model=body.model,
            may_cut=body.truncate is not False, logits=body.raw_scores,
        ),
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for place, score in zip(found.places, found.scores, strict=True):
        text = {"text": body.texts[place]} if body.return_text else {}
        rows.append({"index": place, **text, "score": score})
    return answered(rows, found.timing.headers())
