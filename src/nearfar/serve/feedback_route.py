"""/feedback: what people made of an answer, kept for later training."""

from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nearfar.errors import StoreFull
from nearfar.serve.errors import Refusal
from nearfar.serve.feedback import FeedbackLog, Kind, Said
from nearfar.serve.indexes import Indexes
from nearfar.serve.queue_clients import while_there
from nearfar.serve.search_shapes import Number, SearchId, Strict, refusals
from nearfar.serve.search_threads import Bridge, in_thread
from nearfar.serve.shapes_json import JsonRoute, answered

_MOST_SECONDS = 7 * 86_400


class FeedbackRequest(Strict):
    """What somebody made of an answer, or of one document in it."""

    search_id: SearchId = Field(description="As the answer says.")
    kind: Kind = Field(
        description="click: it was opened. helpful, wrong: it answered, or did not. escalated: "
        "people had to help."
    )
    document_id: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="One of those the answer showed; null: the answer as a whole."
    )
    dwell_seconds: Annotated[Number, Field(ge=0, le=_MOST_SECONDS)] | None = Field(
        None, description="How long the document was looked at."
    )


class FeedbackAnswer(BaseModel):
    """It is on disk."""

    kept: bool
    known: bool = Field(
        description="Whether the search was logged here, so that a click can be learned from."
    )


def feedback_router(indexes: Indexes, log: FeedbackLog | None) -> APIRouter:
    """Return the route /feedback.

    Args:
        indexes: whose threads write.
        log: keeps it; None: nobody does, and the route says so.
    """
    router = APIRouter(route_class=JsonRoute, tags=["search"])

    @router.post(
        "/feedback",
        response_model=FeedbackAnswer,
        responses=refusals(
            s404="This server keeps no feedback.", s507="There is no room on the disk."
        ),
    )
    async def feedback(request: Request, body: FeedbackRequest) -> Response:
        """Keep what somebody made of an answer; it outlives a loss of power once it is answered."""
        if log is None:
            raise Refusal(404, "This server keeps no feedback: it was started without a folder "
                          "for it.", code="feedback_off")  # fmt: skip
        if body.kind == "click" and body.document_id is None:
            raise Refusal(400, "document_id: expected the document that was clicked, found none.",
                          param="document_id", code="invalid_value")  # fmt: skip
        said = Said(
            search=body.search_id, kind=body.kind, document=body.document_id or "",
            dwell_seconds=body.dwell_seconds,
        )  # fmt: skip

        def keep(bridge: Bridge) -> bool:
            try:
                return log.say(said)
            except LookupError as error:
                raise Refusal(
                    400, "document_id: expected a document that the search showed, found another.",
                    param="document_id", code="not_shown",
                ) from error  # fmt: skip
            except StoreFull as error:
                raise Refusal(507, str(error), code="store_full") from error

        known = await while_there(request, in_thread(indexes.writing, keep, ExitStack()))
        return answered({"kept": True, "known": known})

    return router
