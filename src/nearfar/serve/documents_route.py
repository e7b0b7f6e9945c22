"""/documents: put into an index, looked up, and taken out by their ids."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.convertors import Convertor, register_url_convertor

from nearfar.records import Document
from nearfar.search.live_index import LiveIndex
from nearfar.serve.documents_shapes import (
    DeleteAnswer,
    DeleteRequest,
    DocumentShape,
    FetchAnswer,
    NewDocument,
    PutRequest,
    UpsertAnswer,
    UpsertRequest,
)
from nearfar.serve.embed_vectors import require_size
from nearfar.serve.errors import Refusal
from nearfar.serve.indexes import Indexes, ServedIndex
from nearfar.serve.queue_clients import TIMING_HEADERS, Timing, Work, while_there
from nearfar.serve.search_asked import refusing, using
from nearfar.serve.search_shapes import SearchBounds, refusals
from nearfar.serve.search_threads import Bridge, QueuedEncoder, in_thread
from nearfar.serve.shapes_json import JsonRoute, answered

_Id = Annotated[str, Path(min_length=1, max_length=512, description="Any id, percent-encoded.")]
_Index = Annotated[
    str | None, Query(min_length=1, max_length=200, description="None: the server's default.")
]
_CLOSED = "Another version of the index is about to go live; or its model is not served."
_FULL = "There is no room for more documents; nothing else is lost."


class _Anything(Convertor[str]):
    """Any id: slashes and line ends too."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def documents_router(indexes: Indexes, bounds: SearchBounds) -> APIRouter:
    """Return the routes under /documents.

    Args:
        indexes: that can be written to.
        bounds: of one request.
    """
    register_url_convertor("anything", _Anything())
    router = APIRouter(route_class=JsonRoute, tags=["documents"])
    writing = refusals(s409=_CLOSED, s507=_FULL)
    upserted: dict[int | str, dict[str, Any]] = {200: {"headers": TIMING_HEADERS}, **writing}

    @router.post("/documents", response_model=UpsertAnswer, responses=upserted)
    async def upsert(request: Request, body: UpsertRequest) -> Response:
        """Put documents in; only those whose text, fields or source changed are embedded.

        All of a request are in once it is answered, or none; a client that leaves earlier does
        not know. Sending them again costs nothing for those that are in.
        """
        most = bounds.documents
        if len(body.documents) > most:
            raise _too_many("documents", len(body.documents), most)
        documents = [_document(one.id, one) for one in body.documents]
        return await _upserted(request, indexes, body.index, documents)

    @router.put("/documents/{document_id:anything}", response_model=UpsertAnswer,
                responses=upserted)  # fmt: skip
    async def put(request: Request, document_id: _Id, body: PutRequest) -> Response:
        """Put one document in, in place of the one with this id."""
        return await _upserted(request, indexes, body.index, [_document(document_id, body)])

    @router.get("/documents/{document_id:anything}", response_model=FetchAnswer,
                responses=refusals())  # fmt: skip
    async def fetch(request: Request, document_id: _Id, index: _Index = None) -> Response:
        """Return a document as it was put in."""

        def find(one: ServedIndex) -> dict[str, Any]:
            document = one.index.fetch([document_id]).get(document_id)
            if document is None:
                raise Refusal(404, f"The index {one.name!r} holds no document of this id.",
                              param="document_id", code="document_not_found")  # fmt: skip
            return {
                "index": one.name, "version": one.index.version, "id": document.id,
                "content": document.content, "fields": dict(document.fields),
                "group": document.group, "source": document.source,
            }  # fmt: skip

        with ExitStack() as held:
            one = held.enter_context(using(indexes, index))

            def read(bridge: Bridge) -> dict[str, Any]:
                with refusing():
                    return find(one)

            working = in_thread(indexes.reading, read, held.pop_all())
        return answered(await while_there(request, working))

    @router.delete("/documents/{document_id:anything}", response_model=DeleteAnswer,
                   responses=writing)  # fmt: skip
    async def delete(request: Request, document_id: _Id, index: _Index = None) -> Response:
        """Take one document out; it need not be there."""
        return await _deleted(request, indexes, index, [document_id])

    @router.post("/documents/delete", response_model=DeleteAnswer, responses=writing)
    async def delete_many(request: Request, body: DeleteRequest) -> Response:
        """Take documents out; they need not be there."""
        if len(body.ids) > bounds.ids:
            raise _too_many("ids", len(body.ids), bounds.ids)
        return await _deleted(request, indexes, body.index, body.ids)

    return router


async def _upserted(
    request: Request, indexes: Indexes, name: str | None, documents: Sequence[Document]
) -> Response:
    timing = request.state.timing = Timing()
    work: Work = request.app.state.work
    contents = [document.content for document in documents]
    require_size(contents, len(contents), work.bounds)
    work.require_room()

    def put(bridge: Bridge, one: ServedIndex) -> dict[str, Any]:
        encoder = QueuedEncoder(bridge, work, timing, one.served)
        index = replace(one.index, encoder=encoder)
        done = index.upsert(documents)
        return {"embedded": done.embedded, "unchanged": done.unchanged}

    told = await while_there(request, _written(indexes, work, name, len(documents), put))
    return answered(told, timing.headers())


async def _deleted(
    request: Request, indexes: Indexes, name: str | None, ids: Sequence[str]
) -> Response:
    work: Work = request.app.state.work

    def take_out(bridge: Bridge, one: ServedIndex) -> dict[str, Any]:
        index: LiveIndex = one.index
        return {"deleted": index.delete(ids)}

    return answered(await while_there(request, _written(indexes, work, name, len(ids), take_out)))


async def _written(
    indexes: Indexes,
    work: Work,
    name: str | None,
    count: int,
    write: Callable[[Bridge, ServedIndex], dict[str, Any]],
) -> dict[str, Any]:
    """Return what a write did, to the version that is live by now."""
    with using(indexes, name) as one:
        chosen = one.name

    def in_turn(bridge: Bridge) -> dict[str, Any]:
        with refusing():
            indexes.refresh(work.serving.offer, chosen)  # a write to a former version is refused
        with using(indexes, chosen) as one, refusing(setting=409):
            told = {"index": chosen, "version": one.index.version, **write(bridge, one)}
        indexes.wrote(chosen, count)
        return told

    return await in_thread(indexes.writing, in_turn, ExitStack())


def _document(id: str, shape: NewDocument | DocumentShape) -> Document:
    return Document(
        id=id, content=shape.content, group=shape.group, source=shape.source, fields=shape.fields
    )


def _too_many(param: str, found: int, most: int) -> Refusal:
    return Refusal(
        413, f"{param}: expected at most {most:,}, found {found:,}. Send them in several requests.",
        param=param, code="too_many",
    )  # fmt: skip
