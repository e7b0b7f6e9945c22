"""Vectors come back whole and in order, whatever the server likes or suffers."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from doubles import LetterEncoder
from embedding_server import VectorServer, vectors_served

from nearfar.errors import BadSetting
from nearfar.evaluation.served import ServedEncoder
from nearfar.llm.embedding import MOST_TOKENS, EmbeddingClient, batches_of
from nearfar.llm.endpoints import open_endpoint
from nearfar.llm.messages import NoAnswer
from nearfar.llm.settings import LlmSettings

TEXTS = ["a bee", "sea", "dee dee", "", "ä long one indeed"]


@contextmanager
def client(server: VectorServer, **facts: object) -> Iterator[EmbeddingClient]:
    with vectors_served(server):
        settings = LlmSettings(model="m", api="openai", base_url=server.address, **facts)  # type: ignore[arg-type]
        with open_endpoint(settings, "k") as endpoint:
            yield EmbeddingClient(endpoint, settings, first_wait_seconds=0.001)


def plain(texts: list[str]) -> np.ndarray:
    return LetterEncoder().encode(texts, "document").numpy()


@pytest.mark.parametrize("floats_only", [False, True])
def test_vectors_are_those_of_the_texts_in_their_order(floats_only: bool) -> None:
    server = VectorServer(floats_only=floats_only)
    with client(server) as asking:
        for _ in range(2):
            found = asking.embed(TEXTS)
            assert np.array_equal(found.vectors, plain(TEXTS))
            assert found.tokens == sum(len(text.split()) for text in TEXTS)
    forms = [body["encoding_format"] for body in server.asked]
    assert forms == (["base64", "float", "float"] if floats_only else ["base64", "base64"])
    assert server.keys == {"Bearer k"}


def test_a_server_of_small_requests_gets_smaller_ones_from_then_on() -> None:
    server = VectorServer(most_texts=2)
    with client(server) as asking:
        found = asking.embed(TEXTS)
        assert np.array_equal(found.vectors, plain(TEXTS))
        assert asking.most_texts == 2
        assert found.tokens == 9


def test_what_passes_is_tried_again_and_what_does_not_is_said() -> None:
    with client(VectorServer(trouble=lambda number: ["429", "500", "lost", ""][number])) as asking:
        assert np.array_equal(asking.embed(TEXTS).vectors, plain(TEXTS))
    with (
        client(VectorServer(trouble=lambda number: "503"), retries=1) as asking,
        pytest.raises(NoAnswer, match="m gave no vectors in 2 tries"),
    ):
        asking.embed(TEXTS)
    with (
        client(VectorServer(trouble=lambda number: "401")) as asking,
        pytest.raises(BadSetting, match="Check the API key"),
    ):
        asking.embed(TEXTS)
    with (
        client(VectorServer(trouble=lambda number: "400")) as asking,
        pytest.raises(NoAnswer, match="it is 400"),
    ):
        asking.embed(TEXTS)


def test_a_vector_that_is_no_number_is_refused() -> None:
    with (
        client(VectorServer(trouble=lambda number: "nan"), retries=0) as asking,
        pytest.raises(NoAnswer, match="no finite number"),
    ):
        asking.embed(["abc", "bcd"])


def test_a_server_may_be_silent_on_tokens() -> None:
    with client(VectorServer(says_usage=False)) as asking:
        assert asking.embed(TEXTS).tokens is None


def test_tokens_that_a_server_counts_in_part_are_not_counted() -> None:
    server = VectorServer()
    with client(server, concurrency=1) as asking:
        asking.most_texts = 2
        encoder = ServedEncoder(asking)
        encoder.encode(TEXTS, "query")
        assert encoder.count(TEXTS, "query") == sum(len(text.split()) for text in TEXTS)
        server.silent = lambda number: number == 4
        encoder.encode(TEXTS, "query")
        assert len(server.asked) == 6
        assert encoder.count(TEXTS, "query") == 0


def test_no_request_holds_more_than_is_allowed() -> None:
    texts = ["x" * size for size in (10, MOST_TOKENS, 5, MOST_TOKENS - 5, 1)] + ["y"] * 5_000
    batches = list(batches_of(texts))
    assert [text for batch in batches for text in batch] == texts
    assert all(len(batch) <= 2_048 for batch in batches)
    assert all(sum(map(len, batch)) <= MOST_TOKENS for batch in batches)
    # and none more than need be
    assert [len(batch) for batch in batches] == [1, 1, 2, 2_048, 2_048, 905]
    assert list(batches_of(["ü" * MOST_TOKENS, "a"])) == [["ü" * MOST_TOKENS], ["a"]]
