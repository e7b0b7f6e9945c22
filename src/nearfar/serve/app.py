"""The web application: routes that other people's clients already speak, around one queue."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nearfar import __version__
from nearfar.errors import BadSetting
from nearfar.serve.queue import Batch, Queue
from nearfar.serve.served import Bounds, Serving

if TYPE_CHECKING:  # loaded with the first server, not with the command line
    from fastapi import APIRouter, FastAPI
    from starlette.middleware import Middleware


def create_app(
    serving: Serving,
    *,
    middleware: "Sequence[Middleware]" = (),
    routers: "Sequence[APIRouter]" = (),
    bounds: Bounds | None = None,
    told: Callable[[Batch], None] = lambda batch: None,
) -> "FastAPI":
    """Return the application that serves vectors and scores.

    `app.state` holds `work`, and its `queue` for those who watch it. Computing begins with the
    application's lifespan; when that ends, all that waits is computed first.

    Args:
        serving: what is served; swap its offer while requests run.
        middleware: around every route, the outermost first.
        routers: further routes, such as health, metrics, documents.
        bounds: how much is taken in.
        told: is given each batch that was computed, in the event loop.

    Raises:
        BadSetting: the libraries of a server are not installed.
    """
    try:
        import orjson  # noqa: F401
        from fastapi import FastAPI
    except ImportError as error:
        raise BadSetting(
            f"A server needs libraries that are not installed ({error}). Install them with "
            "pip install 'nearfar[serve]'."
        ) from error
    from nearfar.serve import embed_cohere, embed_tei, embeddings, rerank, rerank_tei
    from nearfar.serve.errors import speak_dialects
    from nearfar.serve.queue_clients import Work

    bounds = bounds or Bounds()
    queue = Queue(waiting_tokens=bounds.waiting_tokens, told=told)
    work = Work(serving, queue, bounds)

    @asynccontextmanager
    async def computing(app: FastAPI) -> AsyncIterator[None]:
        work.start()
        try:
            yield
        finally:
            await work.drain()

    app = FastAPI(
        title="nearfar",
        version=__version__,
        description="Vectors and scores, in the formats that clients already speak.",
        lifespan=computing,
        middleware=list(middleware),
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.work, app.state.queue = work, queue
    speak_dialects(app)
    ours = [embeddings.router, embed_tei.router, embed_cohere.router, rerank.router,
            rerank_tei.router]  # fmt: skip
    for router in [*ours, *routers]:
        app.include_router(router)
    return app
