"""The routes of a server that has indexes: search, documents, feedback."""

from typing import TYPE_CHECKING

from nearfar.serve.feedback import FeedbackLog
from nearfar.serve.indexes import Indexes

if TYPE_CHECKING:
    from fastapi import APIRouter

    from nearfar.serve.search_shapes import SearchBounds


def search_routers(
    indexes: Indexes, *, bounds: "SearchBounds | None" = None, log: FeedbackLog | None = None
) -> "list[APIRouter]":
    """Return what `create_app` takes as further routers.

    Whoever began `indexes` and `log` closes both once the application has ended.

    Args:
        indexes: that are served.
        bounds: of one request.
        log: keeps feedback, and searches if it says so; None: none is taken.
    """
    from nearfar.serve.documents_route import documents_router
    from nearfar.serve.feedback_route import feedback_router
    from nearfar.serve.search_route import search_router
    from nearfar.serve.search_shapes import SearchBounds

    bounds = bounds or SearchBounds()
    return [
        search_router(indexes, bounds, log),
        documents_router(indexes, bounds),
        feedback_router(indexes, log),
    ]
