"""Metrics: what they count, and that nobody outside can make them grow."""

from typing import Any

import pytest
from doubles import LetterEncoder
from prometheus_client.parser import text_string_to_metric_families
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from nearfar.serve.app import create_app
from nearfar.serve.metrics import CountRequests, Metrics, metrics_router
from nearfar.serve.served import Offer, Served, Serving


class Broken(LetterEncoder):
    def encode(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no memory")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> Any:
    offer = Offer.of([Served(name="letters", encoder=LetterEncoder()),
                      Served(name="broken", encoder=Broken())])  # fmt: skip
    serving = Serving(offer)
    app = create_app(serving, middleware=[Middleware(CountRequests, metrics=metrics)],
                     routers=[metrics_router(metrics)], told=metrics.batch)  # fmt: skip

    def unasked() -> int:
        raise OSError("the index is gone")

    metrics.watch(serving, app.state.queue, {"shop": lambda: 42, "gone": unasked})
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found


def read(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample that Prometheus would read."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Any, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def embed(client: TestClient, model: str, texts: Any) -> Any:
    return client.post("/v1/embeddings", json={"model": model, "input": texts})


def test_requests_failures_tokens_and_batches_are_counted(client: TestClient) -> None:
    answers = [embed(client, "letters", ["abc", "de"]) for _ in range(3)]
    embed(client, "letters", [])
    embed(client, "broken", "a")
    found = read(client)
    at = {"route": "/v1/embeddings", "method": "POST"}
    assert value(found, "nearfar_requests_total", **at, status="200") == 3
    assert value(found, "nearfar_requests_total", **at, status="400") == 1
    assert value(found, "nearfar_requests_total", **at, status="500") == 1
    assert value(found, "nearfar_request_seconds_count", **at) == 5
    tokens = sum(answer.json()["usage"]["total_tokens"] for answer in answers)
    assert value(found, "nearfar_tokens_total", route="/v1/embeddings") == tokens
    assert value(found, "nearfar_batch_items_sum") == 3 * 2 + 1
    assert value(found, "nearfar_batch_tokens_sum") >= tokens
    assert value(found, "nearfar_queue_seconds_count", route="/v1/embeddings") >= 3


def test_what_is_served_and_what_waits_is_looked_up(client: TestClient) -> None:
    found = read(client)
    assert value(found, "nearfar_models_loaded", kind="model") == 2
    assert value(found, "nearfar_models_loaded", kind="reranker") == 0
    assert value(found, "nearfar_queue_items") == 0
    assert value(found, "nearfar_queue_tokens") == 0
    assert value(found, "nearfar_index_pending_rows", index="shop") == 42
    info = {"kind": "model", "model": "letters", "is": LetterEncoder().space.fingerprint}
    assert value(found, "nearfar_model_info", **info) == 1


def test_a_reload_is_counted_by_what_became_of_it(client: TestClient, metrics: Metrics) -> None:
    metrics.reload("shop", "refused")
    assert value(read(client), "nearfar_reloads_total", model="shop", outcome="refused") == 1


def test_strangers_cannot_make_it_grow(client: TestClient) -> None:
    def series() -> set[Any]:
        return {key for key in read(client) if "nearfar" in key[0]}

    def ask(i: int) -> None:
        client.get(f"/some/path/{i}", headers={"x-request-id": f"id{i}"})
        client.request(f"METHOD{i}", f"/a{i}")
        client.post(f"/v1/embeddings/{i}", json={})
        embed(client, f"model{i}", "a")

    ask(0)
    read(client)
    before = series()
    for i in range(1, 8):
        ask(i)
    assert series() == before


def test_two_applications_do_not_share_what_they_count() -> None:
    first, second = Metrics(), Metrics()
    first.reload("shop", "swapped")
    assert b'outcome="swapped"' in first.text()
    assert b'outcome="swapped"' not in second.text()
