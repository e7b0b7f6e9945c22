"""/search answers what the index answers, and refuses what it cannot."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from doubles import LETTERS, LetterEncoder
from index_world import FIELDS, World, ids
from inside import HeldEncoder, Leaving, in_app, until
from letter_reranker import LetterReranker
from tiny import WORDS, tiny_bert

from nearfar.model.text import TextEncoder, TextSettings
from nearfar.records import Document
from nearfar.serve.queue import Batch
from nearfar.serve.served import Bounds, Offer, Served, ServedReranker
from nearfar.stores.filters import read_where

QUERY = "theta beta"


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("body", "same"),
    [
        ({}, {}),
        ({"k": 3, "exact": True}, {"k": 3, "exact": True}),
        ({"words": "ranks"}, {"words": "ranks"}),
        ({"words": 0.25, "candidates": 20}, {"words": 0.25, "candidates": 20}),
        ({"words": "none", "rerank": True, "k": 2}, {"rerank": True, "k": 2}),
        ({"rerank": "places", "words": 1, "candidates": 4, "k": 4},
         {"rerank": True, "words": 1.0, "candidates": 4, "k": 4}),
        ({"where": ["lang=de|fr", "year>=2013"], "explain": True},
         {"where": read_where(["lang=de|fr", "year>=2013"], FIELDS), "explain": True}),
        ({"where": [{"field": "lang", "sign": "!=", "value": ["fr", "de"]},
                    {"field": "size", "sign": "<", "value": 2}, {"field": "new", "value": False}]},
         {"where": read_where(["lang!=de|fr", "size<2", "new=false"], FIELDS)}),
    ],
    ids=str,
)  # fmt: skip
def test_hits_are_those_of_the_index(
    world: World, body: dict[str, Any], same: dict[str, Any]
) -> None:
    (expected,) = world.index.search([QUERY], **same)
    assert expected.hits
    found = world.search(query=QUERY, **body)["answers"][0]
    assert [
        (hit["id"], hit["rank"], hit["content"], hit["fields"], hit["rerank_score"])
        for hit in found["hits"]
    ] == [
        (hit.document.id, hit.rank, hit.document.content, hit.document.fields, hit.rerank_score)
        for hit in expected.hits
    ]
    for hit, own in zip(found["hits"], expected.hits, strict=True):
        assert hit["score"] == pytest.approx(own.score, abs=1e-6)
        if own.why is not None:
            assert hit["explain"] == {
                "vector_rank": own.vector_rank, "cosine": pytest.approx(own.cosine, abs=1e-6),
                "word_rank": own.word_rank, "word_score": own.word_score,
                "terms": list(own.why.terms), "piece": own.why.piece, "pieces": own.why.pieces,
                "span": list(own.why.span), "text": own.why.text,
                "source": own.document.source, "group": "greek",
            }  # fmt: skip
        else:
            assert "explain" not in hit
    assert (found["candidates"], found["reranked"]) == (expected.candidates, expected.reranked)
    assert found["stopped_by_budget"] is False


def test_several_queries_are_answered_in_their_order(world: World) -> None:
    queries = ["alpha", "nu mu", "alpha"]
    found = world.search(queries=queries, k=4, rerank=True)
    expected = world.index.search(queries, k=4, rerank=True)
    assert [ids(one["hits"]) for one in found["answers"]] == [
        [hit.document.id for hit in one.hits] for one in expected
    ]
    assert len({one["search_id"] for one in found["answers"]}) == 3
    assert (found["index"], found["version"]) == ("shop", "v1")
    assert found["space"] == LETTERS.fingerprint


def test_a_real_encoder_finds_by_its_query_prompt_and_by_pieces(tmp_path: Any) -> None:
    prompts = TextSettings(query_prompt="ba be: ", document_prompt="do du: ")
    encoder = TextEncoder.load(tiny_bert(tmp_path), prompts)
    texts = [" ".join(WORDS[(7 * i + k) % 96] for k in range(1 + 13 * i)) for i in range(9)]
    documents = [Document(id=f"t{i}", content=text) for i, text in enumerate(texts)]
    world = World(encoder, documents=documents)
    queries = [WORDS[5], " ".join(WORDS[20:24])]
    expected = world.index.search(queries, k=9, explain=True)
    assert any(hit.why and hit.why.pieces > 1 for one in expected for hit in one.hits)
    found = world.search(queries=queries, k=9, explain=True)["answers"]
    for one, own in zip(found, expected, strict=True):
        assert ids(one["hits"]) == [hit.document.id for hit in own.hits]
        scores = [hit.score for hit in own.hits]
        assert [hit["score"] for hit in one["hits"]] == pytest.approx(scores, abs=1e-5)
        assert [hit["explain"]["piece"] for hit in one["hits"]] == [
            hit.why and hit.why.piece for hit in own.hits
        ]


def test_texts_are_left_out_if_nobody_wants_them(world: World) -> None:
    (hit,) = world.hits(query="mu", k=1, content=False, explain=True)
    assert "content" not in hit
    assert hit["explain"]["text"] is None
    assert "mu nu" not in json.dumps(hit)


def test_queries_and_pairs_are_computed_by_the_queue_alone() -> None:
    batches: list[Batch] = []
    world = World(told=batches.append)
    world.search(queries=["alpha", "beta"], k=5, rerank=True, candidates=6)
    assert sum(batch.items for batch in batches) == 2 + 2 * 6


def test_what_the_budget_leaves_unread_stands_below() -> None:
    class Slow(LetterEncoder):
        def encode(self, *args: Any, **more: Any) -> Any:
            found = super().encode(*args, **more)
            done.wait(0.01)
            return found

    done = threading.Event()  # never set: it only tells time
    world = World(Slow())
    found = world.search(query=QUERY, rerank=True, budget_ms=0.5)["answers"][0]
    assert found["stopped_by_budget"] is True
    assert found["reranked"] == 0
    assert ids(found["hits"]) == ids(world.hits(query=QUERY))


def test_a_client_that_leaves_frees_its_place() -> None:
    encoder = HeldEncoder()
    world = World(encoder)
    encoder.hold()

    async def leave(client: httpx.AsyncClient) -> None:
        first = Leaving(world.app, "/search", b'{"query": "alpha"}')
        await encoder.holds()
        second = Leaving(world.app, "/search", b'{"queries": ["beta", "gamma"]}')
        await until(lambda: world.app.state.queue.waiting_items == 2)
        second.leave()
        await second.asking
        assert world.app.state.queue.waiting_items == 0
        encoder.may.set()
        await first.asking
        assert (first.status, second.status) == (200, 499)

    in_app(world.app, leave)
    assert [text for texts in encoder.asked for text in texts][-1] == "alpha"


def test_a_client_that_leaves_takes_its_pairs_out_of_the_queue() -> None:
    class Held(LetterReranker):
        def score_pairs(self, *args: Any, **more: Any) -> Any:
            began.set()
            assert may.wait(20)
            return super().score_pairs(*args, **more)

    began, may = threading.Event(), threading.Event()
    world = World(limits=Bounds(tokens_per_batch=8))
    world.serving.swap(Offer.of(
        [Served(name="letters", encoder=world.encoder)],
        [ServedReranker(name="places", reranker=Held())],
    ))  # fmt: skip

    async def leave(client: httpx.AsyncClient) -> None:
        one = Leaving(world.app, "/search", b'{"query": "alpha", "rerank": true}')
        assert await asyncio.to_thread(began.wait, 20)
        assert world.app.state.queue.waiting_items > 0
        one.leave()
        await one.asking
        await until(lambda: world.app.state.queue.waiting_items == 0)
        may.set()
        assert (await client.post("/search", json={"query": "beta"})).status_code == 200

    in_app(world.app, leave)


def test_a_full_queue_is_said_with_when_to_come_again() -> None:
    encoder = HeldEncoder()
    world = World(encoder, limits=Bounds(waiting_tokens=4))
    encoder.hold()

    async def crowd(client: httpx.AsyncClient) -> None:
        asking = [asyncio.create_task(client.post("/search", json={"query": "alpha"}))]
        await encoder.holds()
        for _ in range(2):
            asking.append(asyncio.create_task(client.post("/search", json={"query": "beta" * 3})))
            await until(lambda: world.app.state.queue.waiting_items > 0)
        refused = await client.post("/search", json={"query": "gamma"})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        encoder.may.set()
        assert {(await one).status_code for one in asking} <= {200, 429}

    in_app(world.app, crowd)
