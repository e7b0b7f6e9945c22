"""/search: hits of an index, found by the model of its space."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from secrets import token_hex
from time import perf_counter
from typing import Any, cast

import torch
from fastapi import APIRouter, Request, Response

from nearfar.search.explained import LiveHit
from nearfar.search.live_search import Answer
from nearfar.serve.embed_roles import find_reranker
from nearfar.serve.embed_vectors import Asked, queued_vectors, require_size
from nearfar.serve.errors import Refusal
from nearfar.serve.feedback import FeedbackLog, Shown
from nearfar.serve.indexes import Indexes, ServedIndex
from nearfar.serve.queue_clients import TIMING_HEADERS, Timing, Work, while_there
from nearfar.serve.search_asked import refusing, using
from nearfar.serve.search_shapes import (
    ConditionShape,
    SearchAnswer,
    SearchBounds,
    SearchRequest,
    refusals,
)
from nearfar.serve.search_threads import (
    Bridge,
    KnownVectors,
    QueuedReranker,
    in_thread,
)
from nearfar.serve.shapes_json import JsonRoute, answered
from nearfar.stores.filters import Condition, Where, checked, read_where

_LEAST_MS = 0.001  # what is left of a budget that is used up: nothing is read


def search_router(indexes: Indexes, bounds: SearchBounds, log: FeedbackLog | None) -> APIRouter:
    """Return the route /search.

    Args:
        indexes: that can be asked.
        bounds: of one request.
        log: keeps what was found, if it does; None: nobody does.
    """
    router = APIRouter(route_class=JsonRoute, tags=["search"])

    @router.post(
        "/search",
        response_model=SearchAnswer,
        responses={
            200: {"headers": TIMING_HEADERS},
            **refusals(s503="The server begins or ends, or the index cannot be read."),
        },
    )
    async def search(request: Request, body: SearchRequest) -> Response:
        """Return the documents that answer each query, best first.

        Meaning brings the nearest documents by their best pieces; `words` may bring others; a
        reranker may read the first of them, within a budget if one is given.
        """
        timing = request.state.timing = Timing()
        work: Work = request.app.state.work
        queries = _queries(body, bounds, work)
        asked = _Search(work, timing, indexes, log, body, queries)
        return answered(await while_there(request, asked.answer()), timing.headers())

    return router


class _Search:
    """One request, on its way through the queue and a thread."""

    def __init__(self, work: Work, timing: Timing, indexes: Indexes, log: FeedbackLog | None,
                 body: SearchRequest, queries: Sequence[str]) -> None:  # fmt: skip
        self._work, self._timing, self._indexes, self._log = work, timing, indexes, log
        self._body, self._queries = body, queries

    async def answer(self) -> dict[str, Any]:
        """Return what is answered."""
        rerank = self._body.rerank
        name = rerank if isinstance(rerank, str) else None
        offer = self._work.serving.offer
        reranker = find_reranker(offer, name).reranker if rerank else None
        with ExitStack() as held:
            one = held.enter_context(using(self._indexes, self._body.index))
            where = self._where(one)
            asked = Asked(texts=self._queries)
            vectors = await queued_vectors(self._work, self._timing, one.served, "query", asked)

            def find(bridge: Bridge) -> dict[str, Any]:
                queued = reranker and QueuedReranker(bridge, self._work, self._timing, reranker)
                known = KnownVectors(one.served.space, self._queries, torch.from_numpy(vectors))
                index = replace(one.index, encoder=known, reranker=queued)
                with refusing():
                    found = index.search(self._queries, where=where, **self._settings())
                return self._told(one, found)

            return await in_thread(self._indexes.reading, find, held.pop_all())

    def _settings(self) -> dict[str, Any]:
        body = self._body
        left = None
        if body.budget_ms is not None:
            spent = 1_000 * (perf_counter() - self._timing.began)
            left = max(body.budget_ms - spent, _LEAST_MS)
        return {
            "k": body.k, "words": None if body.words == "none" else body.words,
            "rerank": bool(body.rerank), "candidates": body.candidates, "budget_ms": left,
            "exact": body.exact, "explain": body.explain,
        }  # fmt: skip

    def _where(self, one: ServedIndex) -> Where:
        kinds = one.index.store.layout.fields
        with refusing(param="where"):
            found: list[Condition] = []
            for said in self._body.where:
                if isinstance(said, ConditionShape):
                    values = said.value if isinstance(said.value, list) else [said.value]
                    own = Condition(said.field, said.sign, tuple(values))
                    found += checked([own], kinds)
                else:
                    found += read_where([said], kinds)
            return tuple(found)

    def _told(self, one: ServedIndex, found: Sequence[Answer]) -> dict[str, Any]:
        space, version = one.served.space.fingerprint, one.index.version
        answers = []
        for query, answer in zip(self._queries, found, strict=True):
            search_id = token_hex(16)
            answers.append({
                "search_id": search_id, "hits": [self._hit(hit) for hit in answer.hits],
                "candidates": answer.candidates, "reranked": answer.reranked,
                "stopped_by_budget": answer.stopped_by_budget,
            })  # fmt: skip
            if self._log is not None:
                hits = [(hit.document.id, hit.score) for hit in answer.hits]
                self._log.searched(
                    Shown(search=search_id, index=one.name, version=version, space=space,
                          query=query, user=self._body.user or "", hits=tuple(hits))
                )  # fmt: skip
        return {"index": one.name, "version": version, "space": space, "answers": answers}

    def _hit(self, hit: LiveHit) -> dict[str, Any]:
        document, why, with_text = hit.document, hit.why, self._body.content
        told: dict[str, Any] = {
            "id": document.id, "rank": hit.rank, "score": hit.score,
            "rerank_score": hit.rerank_score, "fields": dict(document.fields),
        }  # fmt: skip
        if with_text:
            told["content"] = document.content
        if why is not None:
            told["explain"] = {
                "vector_rank": hit.vector_rank, "cosine": hit.cosine,
                "word_rank": hit.word_rank, "word_score": hit.word_score,
                "terms": list(why.terms), "piece": why.piece, "pieces": why.pieces,
                "span": list(why.span), "text": why.text if with_text else None,
                "source": document.source, "group": document.group,
            }  # fmt: skip
        return told


def _queries(body: SearchRequest, bounds: SearchBounds, work: Work) -> list[str]:
    """Return the queries of a request, once it is known that it asks for no more than it may."""
    if (body.query is None) == (body.queries is None):
        raise Refusal(
            400, "Expected either query, a text, or queries, a list of texts.", param="query",
            code="invalid_value",
        )  # fmt: skip
    queries = [cast(str, body.query)] if body.queries is None else body.queries
    require_size(queries, min(bounds.queries, work.bounds.texts_per_request), work.bounds)
    read = max(100 if body.candidates is None else body.candidates, body.k) * len(queries)
    pairs = read if body.rerank else 0
    for name, value, most in (
        ("k", body.k, bounds.hits), ("candidates", body.candidates or 0, bounds.candidates),
        ("candidates of all queries to rerank", pairs, work.bounds.documents_per_request),
    ):  # fmt: skip
        if value > most:
            raise Refusal(400, f"{name}: expected at most {most:,}, found {value:,}.", param=name,
                          code="invalid_value")  # fmt: skip
    return queries
