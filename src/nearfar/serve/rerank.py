"""/v2/rerank and /v1/rerank, as the clients of Cohere, Jina and Voyage speak."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from nearfar.serve.errors import Refusal, declared
from nearfar.serve.queue_clients import TIMING_HEADERS
from nearfar.serve.rerank_scores import AskedRanks, Ranks, ranks_of
from nearfar.serve.shapes_json import JsonRoute, answered
from nearfar.serve.shapes_rerank import (
    OldRerankAnswer,
    OldRerankRequest,
    RerankAnswer,
    RerankRequest,
    TextOrFields,
    VoyageRerankAnswer,
)

router = APIRouter(route_class=JsonRoute, tags=["rerank"])
_DOCUMENTS_PER_UNIT = 100  # what Cohere calls a search unit


@router.post(
    "/v2/rerank",
    response_model=RerankAnswer,
    responses={200: {"headers": TIMING_HEADERS}, **declared("cohere")},
)
async def rerank(request: Request, body: RerankRequest) -> Response:
    """Return documents by how well they answer a query, best first."""
    found = await ranks_of(
        request,
        AskedRanks(
            query=body.query, documents=_texts(body.documents, ["text"]), model=body.model,
            tokens_per_document=body.max_tokens_per_doc, most=body.top_n,
        ),
    )  # fmt: skip
    content = {"id": str(uuid4()), "results": _rows(found), "meta": _meta("2", body.documents)}
    return answered(content, found.timing.headers())


@router.post(
    "/v1/rerank",
    response_model=OldRerankAnswer | VoyageRerankAnswer,
    response_model_exclude_none=True,
    responses={200: {"headers": TIMING_HEADERS}, **declared("cohere")},
)
async def old_rerank(request: Request, body: OldRerankRequest) -> Response:
    """Return documents by how well they answer a query, best first.

    Who sends `top_k` or `truncation` reads Voyage's answer, everyone else Cohere's and Jina's.
    """
    found = await ranks_of(
        request,
        AskedRanks(
            query=body.query, documents=_texts(body.documents, body.rank_fields or ["text"]),
            model=body.model, tokens_per_document=body.max_tokens_per_doc,
            may_cut=body.truncation is not False, most=body.top_k or body.top_n,
        ),
    )  # fmt: skip
    tokens = found.timing.tokens
    content: dict[str, Any]
    if body.is_voyage:
        texts = _texts(body.documents, ["text"]) if body.return_documents else None
        content = {
            "object": "list", "data": _rows(found, texts), "model": found.model,
            "usage": {"total_tokens": tokens},
        }  # fmt: skip
    else:
        told = body.documents if body.return_documents else None
        objects = told and [{"text": one} if isinstance(one, str) else one for one in told]
        content = {
            "id": str(uuid4()), "model": found.model, "results": _rows(found, objects),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "meta": _meta("1", body.documents),
        }  # fmt: skip
    return answered(content, found.timing.headers())


def _rows(found: Ranks, documents: Sequence[Any] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, score in zip(found.places, found.scores, strict=True):
        rows.append({"index": place, "relevance_score": score})
        if documents is not None:
            rows[-1]["document"] = documents[place]
    return rows


def _texts(documents: Sequence[TextOrFields], fields: Sequence[str]) -> list[str]:
    """Return the text of each document: itself, or what stands in its fields, line by line."""
    texts = []
    for place, document in enumerate(documents):
        if isinstance(document, str):
            texts.append(document)
            continue
        found = [document.get(field) for field in fields]
        said = [text for text in found if isinstance(text, str)]
        if not said:
            raise Refusal(
                400, f"Expected a text, or an object with a text in {', '.join(fields)[:80]}, "
                f"found neither at place {place}.", param="documents",
            )  # fmt: skip
        texts.append("\n".join(said))
    return texts


def _meta(version: str, documents: Sequence[Any]) -> dict[str, Any]:
    units = -(-len(documents) // _DOCUMENTS_PER_UNIT)
    return {
        "api_version": {"version": version, "is_experimental": False},
        "billed_units": {"search_units": units},
    }
