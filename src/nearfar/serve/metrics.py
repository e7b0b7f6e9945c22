"""What Prometheus asks for: one registry for each application, and only labels that are few.

Labels are templates of routes, names that the operator chose, and statuses. No key, no path as it
was asked for, no text: whoever can ask could otherwise fill the memory with new label values.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nearfar.serve.logs import GONE, route_of, timing_of
from nearfar.serve.queue import Batch, Queue
from nearfar.serve.served import Serving

if TYPE_CHECKING:
    from fastapi import APIRouter

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TOKENS = (16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """Counts what happens, and asks the rest when it is asked."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        at = ("route", "method")
        self._requests = Counter(
            "nearfar_requests", "Requests, by what became of them.", (*at, "status"), registry=own
        )
        self._seconds = Histogram(
            "nearfar_request_seconds", "From its head to the last byte of its answer.", at,
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._queued = Histogram(
            "nearfar_queue_seconds", "While nothing of a request was computed.", ("route",),
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._tokens = Counter(
            "nearfar_tokens", "Tokens that the models read.", ("route",), registry=own
        )
        self._batch_items = Histogram("nearfar_batch_items", "Texts or pairs of a batch.",
                                      buckets=_ITEMS, registry=own)  # fmt: skip
        self._batch_tokens = Histogram("nearfar_batch_tokens", "Tokens of a batch, padding left "
                                       "out.", buckets=_TOKENS, registry=own)  # fmt: skip
        self._padded = Counter(
            "nearfar_padded_tokens", "Tokens that were computed, padding included.", registry=own
        )
        self._batch_seconds = Histogram(
            "nearfar_batch_seconds", "Computing a batch.", buckets=_SECONDS, registry=own
        )
        self._reloads = Counter("nearfar_reloads", "New versions of models, by what became of "
                                "them.", ("model", "outcome"), registry=own)  # fmt: skip

    def batch(self, batch: Batch) -> None:
        """Count a batch that was computed."""
        self._batch_items.observe(batch.items)
        self._batch_tokens.observe(batch.tokens)
        self._padded.inc(batch.padded_tokens)
        self._batch_seconds.observe(batch.seconds)

    def reload(self, model: str, outcome: str) -> None:
        """Count a new version of a model, that was swapped in or refused."""
        self._reloads.labels(model, outcome).inc()

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that is over."""
        route, method = route_of(scope), scope["method"]
        method = method if method in _METHODS else "other"
        self._requests.labels(route, method, str(status or GONE)).inc()
        self._seconds.labels(route, method).observe(seconds)
        if (timing := timing_of(scope)) is not None:
            self._queued.labels(route).observe(timing.queue_seconds)
            self._tokens.labels(route).inc(timing.tokens)

    def watch(
        self, serving: Serving, queue: Queue, pending: Mapping[str, Callable[[], int]]
    ) -> None:
        """Ask these whenever the metrics are asked for.

        Args:
            serving: what is served.
            queue: where requests wait.
            pending: by the name of an index, returns how many of its rows await optimising.
        """
        self.registry.register(_Now(serving, queue, pending))

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Now(Collector):
    """What is not counted but looked at."""

    def __init__(
        self, serving: Serving, queue: Queue, pending: Mapping[str, Callable[[], int]]
    ) -> None:
        self._serving, self._queue, self._pending = serving, queue, pending

    def collect(self) -> Iterator[Metric]:
        """Yield the state of this moment."""
        offer = self._serving.offer
        loaded = GaugeMetricFamily("nearfar_models_loaded", "Models served.", labels=("kind",))
        loaded.add_metric(("model",), len(offer.models))
        loaded.add_metric(("reranker",), len(offer.rerankers))
        yield loaded
        about = InfoMetricFamily("nearfar_model", "Which model a name means.", labels=("model",))
        for name, model in offer.models.items():
            about.add_metric((name,), {"kind": "model", "is": model.space.fingerprint})
        for name, reading in offer.rerankers.items():
            about.add_metric((name,), {"kind": "reranker", "is": reading.reranker.fingerprint})
        yield about
        for name, meaning, value in (
            ("nearfar_queue_items", "Texts or pairs that wait.", self._queue.waiting_items),
            ("nearfar_queue_tokens", "Tokens that wait.", self._queue.waiting_tokens),
        ):
            yield GaugeMetricFamily(name, meaning, value=value)
        rows = GaugeMetricFamily(
            "nearfar_index_pending_rows",
            "Vectors that a search looks at one by one until the index is optimised.",
            labels=("index",),
        )
        for name, count in self._pending.items():
            try:
                rows.add_metric((name,), count())
            except Exception:  # an index that cannot be asked says so in /readyz, not here
                continue
        yield rows


class CountRequests:
    """Counts every request and how long it took."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            status = status or 500  # what is answered further out
            raise
        finally:
            self._metrics.request(scope, status, time.perf_counter() - began)


def metrics_router(metrics: Metrics) -> "APIRouter":
    """Return the route /metrics; whoever may read may read it."""
    from fastapi import APIRouter
    from fastapi.responses import PlainTextResponse, Response

    router = APIRouter(tags=["watching"])

    @router.get("/metrics", response_class=PlainTextResponse)
    def show() -> Response:  # in a thread: an index may take its time to be asked
        """Counters and gauges in the text format of Prometheus."""
        return Response(metrics.text(), media_type=TYPE)

    return router
