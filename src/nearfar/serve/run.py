"""Puts a server together, runs it, and ends it without cutting anybody off."""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import disable_created_metrics
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from nearfar.errors import said
from nearfar.release.places import open_place
from nearfar.search.live_folder import read_folder
from nearfar.serve.access import RequireHere, RequireKey
from nearfar.serve.app import create_app
from nearfar.serve.connections import bound, protocol
from nearfar.serve.feedback import FeedbackLog
from nearfar.serve.health import Health, health_router
from nearfar.serve.indexes import Indexes, ServedIndex
from nearfar.serve.keys import KeyRing
from nearfar.serve.limits import LimitBody, LimitRequests, Limits
from nearfar.serve.logs import Log, LogRequests, ServerLines
from nearfar.serve.metrics import CountRequests, Metrics, metrics_router
from nearfar.serve.queue import Batch
from nearfar.serve.rates import Rates
from nearfar.serve.reload import Follower, first_offer
from nearfar.serve.search_routers import search_routers
from nearfar.serve.served import Offer, Serving
from nearfar.serve.settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_LAST_LOOK_SECONDS = 10.0  # that the end waits for a load under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a server has open while it runs."""

    serving: Serving
    indexes: Indexes | None = None
    feedback: FeedbackLog | None = None

    def close(self) -> None:
        """Let go of it, once the application has ended."""
        if self.indexes is not None:
            self.indexes.close()
        if self.feedback is not None:
            self.feedback.close()


def run(settings: ServerSettings, log: Log, opened: Callable[[str], None]) -> None:
    """Serve until the process is asked to end.

    SIGTERM turns /readyz red; `drain_seconds` later no new connection is taken, and what is under
    way ends. Ctrl-C does not wait for balancers; a second signal, of either kind, waits for
    nobody.

    Args:
        settings: what is served, to whom, and how much.
        log: gets a line for each request and each event.
        opened: is called with the address, once requests are answered.

    Raises:
        BadSetting: the port is taken, or a setting does not fit.
        NearfarError: a model cannot be served.
    """
    # Else a second series stands beside each counter, which nobody asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ring = None if settings.keys is None else KeyRing(settings.keys, log.tell)
    with bound(settings.host, settings.port) as (listening, address), _library_lines(log):
        metrics, serving = Metrics(), Serving(Offer(models={}))
        follower = None
        if settings.registry is not None:
            place = open_place(settings.registry)
            follower = Follower(serving, place, settings.cache, log, metrics.reload)
        serving.swap(first_offer(settings.sources, follower))
        inside = _open(settings, serving)
        app, health = build(settings, inside, ring, log, metrics)
        server = Server(uvicorn_config(app, settings.limits, settings.stop_seconds), health,
                        settings.drain_seconds, lambda: opened(address))  # fmt: skip
        looks = _looks(follower, inside, log)
        with closing(inside), _again(looks, settings.look_seconds, log):
            log("started", address=address, models=sorted(serving.offer.models),
                rerankers=sorted(serving.offer.rerankers),
                indexes=[one.name for one in settings.indexes])  # fmt: skip
            server.run(sockets=[listening])
        log("stopped")


def build(
    settings: ServerSettings, inside: Opened, ring: KeyRing | None, log: Log, metrics: Metrics
) -> "tuple[FastAPI, Health]":
    """Return the application with all that stands around it."""
    serving, indexes = inside.serving, inside.indexes

    def told(batch: Batch) -> None:
        metrics.batch(batch)
        health.batch()

    health = Health(serving, lambda: app.state.queue, log, indexes.looks() if indexes else {})
    routers = [health_router(health), metrics_router(metrics)]
    if indexes is not None:
        routers += search_routers(indexes, log=inside.feedback)
    app = create_app(
        serving, middleware=around(settings, ring, log, metrics), bounds=settings.bounds,
        told=told, routers=routers,
    )  # fmt: skip
    metrics.watch(serving, app.state.queue, indexes.pending() if indexes else {})
    return app, health


def around(
    settings: ServerSettings, ring: KeyRing | None, log: Log, metrics: Metrics
) -> list[Middleware]:
    """Return what every request passes, the outermost first: what is refused is counted too."""
    limits, rates = settings.limits, Rates()
    rate = limits.requests_per_minute
    layers = [
        Middleware(LogRequests, log=log, texts=settings.texts_in_log),
        Middleware(CountRequests, metrics=metrics),
    ]
    if settings.origins:  # before the keys: a browser asks whether it may ask, without one
        layers.append(
            Middleware(CORSMiddleware, allow_origins=settings.origins,
                       allow_methods=["GET", "POST", "PUT", "DELETE"],
                       allow_headers=["authorization", "content-type", "x-request-id"],
                       expose_headers=["x-request-id", "retry-after"])
        )  # fmt: skip
    if ring is not None:
        layers.append(Middleware(RequireKey, ring=ring, rates=rates, requests_per_minute=rate))
    else:
        layers.append(
            Middleware(RequireHere, rates=rates, requests_per_minute=rate,
                       any_host=settings.without_keys, origins=settings.origins)
        )  # fmt: skip
    layers.append(Middleware(LimitRequests, requests_at_once=limits.requests_at_once))
    layers.append(Middleware(LimitBody, body_bytes=limits.body_bytes,
                             body_seconds=limits.body_seconds))  # fmt: skip
    return layers


def uvicorn_config(app: "FastAPI", limits: Limits, stop_seconds: int) -> uvicorn.Config:
    """Return how connections are held. Neither proxies' headers nor websockets are read."""
    return uvicorn.Config(
        app, http=protocol(limits.head_seconds), ws="none", lifespan="on",
        h11_max_incomplete_event_size=limits.head_bytes, limit_concurrency=limits.connections,
        timeout_keep_alive=max(1, round(limits.idle_seconds)),
        timeout_graceful_shutdown=stop_seconds, proxy_headers=False, server_header=False,
        access_log=False, log_config=None,
    )  # fmt: skip


class Server(uvicorn.Server):
    """uvicorn's server, which is not ready before it ends, and then ends well."""

    def __init__(
        self,
        config: uvicorn.Config,
        health: Health,
        drain_seconds: float,
        opened: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config)
        self._health, self._drain_seconds, self._opened = health, drain_seconds, opened
        self._clock = clock
        self._ends_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when requests are answered."""
        await super().startup(sockets)
        if self.started:
            self._opened()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Hear a signal: the first turns /readyz red, the second ends all at once."""
        if self._ends_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._health.draining = True
        waits = self._drain_seconds if sig == signal.SIGTERM else 0.0
        self._ends_at = self._clock() + waits

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether the time to end has come."""
        if self._ends_at is not None and self._clock() >= self._ends_at:
            self.should_exit = True
        return bool(await super().on_tick(counter))


def _open(settings: ServerSettings, serving: Serving) -> Opened:
    indexes: list[ServedIndex] = []
    for one in settings.indexes:
        shelf = read_folder(one.folder).shelf()
        indexes.append(ServedIndex.open(one.name, shelf, serving.offer, one.model))
    feedback = None
    if settings.feedback is not None:
        feedback = FeedbackLog(settings.feedback, searches=settings.keep_searches,
                               texts=settings.keep_queries)  # fmt: skip
    return Opened(serving=serving, indexes=Indexes(indexes) if indexes else None, feedback=feedback)


def _looks(follower: Follower | None, inside: Opened, log: Log) -> list[Callable[[], None]]:
    """Return what is done now and then: aliases are followed, and versions that went live."""
    looks: list[Callable[[], None]] = []
    if follower is not None and follower.versions:
        looks.append(follower.look)
    indexes, told = inside.indexes, set[str]()
    if indexes is not None:

        def refresh() -> None:
            now = set(indexes.refresh(inside.serving.offer))
            for sentence in sorted(now - told):
                log("index", message=sentence)
            told.clear()
            told.update(now)

        looks.append(refresh)
    return looks


@contextmanager
def _again(looks: Sequence[Callable[[], None]], seconds: float, log: Log) -> Iterator[None]:
    """Look again and again, in a thread of its own: what loads there keeps no request waiting."""
    if not looks:
        yield
        return
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(seconds):
            for one in looks:
                try:
                    one()
                except Exception as error:  # our own mistake must not end the looking
                    log("look", outcome="failed", reason=said(error))

    thread = threading.Thread(target=look, name="nearfar-look", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(_LAST_LOOK_SECONDS)


@contextmanager
def _library_lines(log: Log) -> Iterator[None]:
    """Let the warnings of uvicorn, and of our own rooms, stand in the same log."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "nearfar")]
    lines = ServerLines(log)
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(lines)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(lines)
            logger.setLevel(level)
            logger.propagate = propagate
