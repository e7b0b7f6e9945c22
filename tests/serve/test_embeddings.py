"""Vectors by every route are those of the encoder, with the prompt of what a text is."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from doubles import LetterEncoder
from inside import in_app
from running import running
from tiny import WORDS, tiny_bert

from nearfar.model.text import TextEncoder, TextSettings
from nearfar.records import Role
from nearfar.serve.app import create_app
from nearfar.serve.served import Bounds, Offer, Served, Serving

TEXTS = [" ".join(WORDS[(7 * i + k) % len(WORDS)] for k in range(1 + 3 * i)) for i in range(9)]
LONG = " ".join(WORDS)  # 96 words; the model reads 64 tokens


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = tiny_bert(tmp_path_factory.mktemp("encoder"))
    prompts = TextSettings(query_prompt="ba be: ", document_prompt="do du: ")
    return TextEncoder.load(folder, prompts)


@pytest.fixture(scope="module")
def served(tiny: TextEncoder) -> Served:
    return Served(name="tiny", encoder=tiny, dims=(8, 16), prompt_names={"s2p": "query"})


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    letters = Served(name="letters", encoder=LetterEncoder())
    app = create_app(Serving(Offer.of([served, letters])))
    with running(app) as address, httpx.Client(base_url=address) as client:
        yield client


def ask(served: Served, path: str, body: dict[str, Any], bounds: Bounds | None = None) -> Any:
    """Return the answer of an application that serves one model."""
    app = create_app(Serving(Offer.of([served])), bounds=bounds)
    return in_app(app, lambda client: client.post(path, json=body))


def rows(answer: httpx.Response) -> np.ndarray:
    """Return the vectors of an answer, whatever its shape."""
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if isinstance(found, dict):
        found = (
            [row["embedding"] for row in found["data"]]
            if "data" in found
            else next(iter(found["embeddings"].values()))
        )
    if isinstance(found[0], str):
        return np.stack([np.frombuffer(base64.b64decode(row), dtype="<f4") for row in found])
    return np.array(found, dtype=np.float32)


def expected(served: Served, role: Role, texts: list[str] = TEXTS) -> np.ndarray:
    return served.encoder.encode(texts, role).numpy()


QUERY, DOCUMENT = "query", "document"
OPENAI, TEI, COHERE = "/v1/embeddings", "/embed", "/v2/embed"
ASKED: list[tuple[str, dict[str, Any], Role]] = [
    (OPENAI, {"input": TEXTS}, DOCUMENT),
    (OPENAI, {"input": TEXTS, "encoding_format": "base64", "model": "tiny"}, DOCUMENT),
    (OPENAI, {"input": TEXTS, "encoding_format": "float", "user": "u", "x": 1}, DOCUMENT),
    (OPENAI, {"input": TEXTS, "input_type": "query", "output_dtype": "float"}, QUERY),
    (OPENAI, {"input": TEXTS, "input_type": None, "truncation": True}, DOCUMENT),
    (OPENAI, {"input": TEXTS, "prompt_name": "s2p"}, QUERY),
    (OPENAI, {"input": TEXTS, "task": "retrieval.query"}, QUERY),
    (OPENAI, {"input": TEXTS, "task": "retrieval.passage"}, DOCUMENT),
    (OPENAI, {"input": TEXTS, "model": "tiny:query"}, QUERY),
    (OPENAI, {"input": TEXTS, "model": "tiny:document"}, DOCUMENT),
    (TEI, {"inputs": TEXTS}, DOCUMENT),
    (TEI, {"inputs": TEXTS, "normalize": False, "truncate": None, "prompt_name": QUERY}, QUERY),
    (TEI, {"inputs": TEXTS, "truncation_direction": "Right"}, DOCUMENT),
    (COHERE, {"texts": TEXTS, "input_type": "search_query"}, QUERY),
    (COHERE, {"texts": TEXTS, "input_type": "search_document", "max_tokens": None}, DOCUMENT),
    (COHERE, {"texts": TEXTS, "input_type": "search_query", "embedding_types": ["base64"]}, QUERY),
    (COHERE, {"inputs": [{"content": [{"type": "text", "text": text}]} for text in TEXTS],
              "input_type": "search_query", "truncate": "START"}, QUERY),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "role"), ASKED, ids=range(len(ASKED)))
def test_vectors_are_those_of_the_encoder(
    client: httpx.Client, served: Served, path: str, body: dict[str, Any], role: Role
) -> None:
    found = rows(client.post(path, json=body))
    np.testing.assert_allclose(found, expected(served, role), atol=1e-6)
    other: Role = "query" if role == "document" else "document"
    assert np.abs(found - expected(served, other)).max() > 1e-3  # the prompt counts


def test_one_text_may_come_without_a_list(client: httpx.Client, served: Served) -> None:
    for path, body in ((OPENAI, {"input": "ba be"}), (TEI, {"inputs": "ba be"})):
        found = rows(client.post(path, json=body))
        np.testing.assert_allclose(found, expected(served, DOCUMENT, ["ba be"]), atol=1e-6)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OPENAI, {"input": TEXTS, "dimensions": 8}),
        (OPENAI, {"input": TEXTS, "output_dimension": 8, "encoding_format": "base64"}),
        (TEI, {"inputs": TEXTS, "dimensions": 8}),
        (COHERE, {"texts": TEXTS, "input_type": "document", "output_dimension": 8}),
    ],
    ids=str,
)
def test_shorter_vectors_have_length_one_again(
    client: httpx.Client, served: Served, path: str, body: dict[str, Any]
) -> None:
    found = rows(client.post(path, json=body))
    first = expected(served, DOCUMENT)[:, :8]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    np.testing.assert_allclose(found, first, atol=1e-6)


def test_only_lengths_of_the_card_are_served(client: httpx.Client) -> None:
    answer = client.post(OPENAI, json={"input": "ba", "dimensions": 9})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "8, 16, 32 numbers; found 9" in error["message"]
    assert (error["param"], error["code"]) == ("dimensions", "dimensions_not_allowed")
    assert len(rows(client.post(OPENAI, json={"input": "ba", "dimensions": 32}))[0]) == 32


def test_bits_are_signs_the_first_the_highest(client: httpx.Client) -> None:
    letters = {"model": "letters"}  # 26 numbers, one for each letter
    for body in (
        {"input": "ah", "output_dtype": "ubinary"},
        {"input": "ah", "output_dtype": "binary"},
    ):
        found = client.post(OPENAI, json=letters | body).json()["data"][0]["embedding"]
        less = 128 if body["output_dtype"] == "binary" else 0
        assert found == [0b10000001 - less, -less, -less, -less]
    packed = {"input": "ah", "output_dtype": "binary", "encoding_format": "base64"}
    octets = base64.b64decode(
        client.post(OPENAI, json=letters | packed).json()["data"][0]["embedding"]
    )
    assert np.frombuffer(octets, dtype=np.int8).tolist() == [1, -128, -128, -128]
    both = {"texts": ["ah"], "input_type": "query", "embedding_types": ["ubinary", "float"]}
    kinds = client.post(COHERE, json=letters | both).json()["embeddings"]
    assert kinds["ubinary"] == [[0b10000001, 0, 0, 0]]
    assert len(kinds["float"][0]) == 26


@pytest.mark.parametrize("ids", [[5, 5], [[5, 5], [3, 3, 3]], [0]], ids=str)
def test_token_ids_are_refused_with_the_way_out(client: httpx.Client, ids: list[Any]) -> None:
    answer = client.post(OPENAI, json={"input": ids})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "token_ids_not_supported"
    assert "check_embedding_ctx_length=False" in error["message"]


def test_prompts_that_the_model_does_not_know_are_refused(client: httpx.Client) -> None:
    answer = client.post(TEI, json={"inputs": "ba", "prompt_name": "quarry"})
    assert answer.status_code == 400
    assert "found 'quarry'" in answer.json()["error"]
    assert "s2p" in answer.json()["error"]
    assert (
        client.post(COHERE, json={"texts": ["ba"], "input_type": "clustering"}).status_code == 400
    )
    alike = {"texts": ["ba"], "input_type": "clustering", "model": "letters"}
    assert client.post(COHERE, json=alike).status_code == 200


def test_two_fields_may_not_disagree(client: httpx.Client) -> None:
    body = {"input": "ba", "input_type": "query", "task": "retrieval.passage"}
    answer = client.post(OPENAI, json=body)
    assert answer.status_code == 400
    assert "input_type says query, task says document" in answer.json()["error"]["message"]
    body = {"input": "ba", "dimensions": 8, "output_dimension": 16}
    assert client.post(OPENAI, json=body).status_code == 400


def test_tokens_are_counted_as_the_model_reads_them(
    client: httpx.Client, tiny: TextEncoder
) -> None:
    answer = client.post(OPENAI, json={"input": [*TEXTS, LONG]})
    tokens = sum(map(len, tiny.tokens([*TEXTS, LONG], "document").rows))
    assert answer.json()["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer.headers["x-compute-tokens"] == str(tokens)
    assert answer.headers["x-cut-texts"] == "1"
    for name in ("x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
        assert int(answer.headers[name]) >= 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OPENAI, {"input": [LONG], "truncation": False}),
        (TEI, {"inputs": [LONG], "truncate": False}),
        (COHERE, {"texts": [LONG], "input_type": "query", "truncate": "NONE"}),
    ],
    ids=str,
)
def test_a_text_is_cut_only_if_the_client_allows(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 413
    assert "at most 64 tokens, found 1 that" in answer.text


def test_the_side_and_the_length_of_a_cut_are_the_clients(
    client: httpx.Client, served: Served
) -> None:
    # 96 words; of 64 tokens the special ones take 2 and the prompt "do du:" 3.
    room = 64 - 5
    last = expected(served, DOCUMENT, [" ".join(WORDS[-room:])])
    for path, body in (
        (TEI, {"inputs": LONG, "truncation_direction": "Left"}),
        (COHERE, {"texts": [LONG], "input_type": "document", "truncate": "START"}),
    ):
        np.testing.assert_allclose(rows(client.post(path, json=body)), last, atol=1e-6)
    body = {"texts": [LONG, "ba"], "input_type": "document", "max_tokens": 7}
    answer = client.post(COHERE, json=body)
    first = expected(served, DOCUMENT, [" ".join(WORDS[:7]), "ba"])
    np.testing.assert_allclose(rows(answer), first, atol=1e-6)
    assert answer.headers["x-cut-texts"] == "1"
    assert answer.json()["meta"]["billed_units"]["input_tokens"] == (7 + 5) + (1 + 5)


def test_a_large_request_is_divided_and_put_together_again(served: Served) -> None:
    many = [TEXTS[(5 * i) % 5] for i in range(60)]
    body = {"input": many}
    found = rows(ask(served, OPENAI, body, Bounds(tokens_per_batch=64)))
    np.testing.assert_allclose(found, expected(served, DOCUMENT, many), atol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "texts", "said"),
    [
        (Bounds(texts_per_request=2), ["ba"] * 3, "at most 2 texts, found 3"),
        (Bounds(tokens_per_request=20), ["ba"] * 4, "at most 20 tokens in one request, found 24"),
        (Bounds(characters_per_text=9), ["ba" * 5], "at most 9 characters, found one of 10"),
    ],
    ids=str,
)
def test_a_request_may_be_too_large(
    served: Served, bounds: Bounds, texts: list[str], said: str
) -> None:
    answer = ask(served, OPENAI, {"input": texts}, bounds)
    assert answer.status_code == 413
    assert said in answer.json()["error"]["message"]


def test_models_are_listed_with_what_they_allow(client: httpx.Client, served: Served) -> None:
    found = client.get("/v1/models").json()["data"]
    assert [row["id"] for row in found] == ["tiny", "tiny:query", "tiny:document", "letters"]
    assert found[0]["dimensions"] == [8, 16, 32]
    assert found[0]["space"] == served.encoder.space.fingerprint
    assert found[0]["max_tokens"] == 64


def test_a_model_that_is_not_served_is_named_with_those_that_are(client: httpx.Client) -> None:
    for name in ("text-embedding-3-small", "tiny:quarry", "other:query"):
        answer = client.post(OPENAI, json={"input": "ba", "model": name})
        assert answer.status_code == 404
        error = answer.json()["error"]
        expected = f"Expected a model that is served (letters, tiny), found '{name}'."
        assert error["message"] == expected
        assert error["code"] == "model_not_found"


def test_vectors_that_are_no_numbers_are_never_answered() -> None:
    class Broken(LetterEncoder):
        def encode(self, contents: Any, role: Role, **_: Any) -> torch.Tensor:
            return torch.full((len(contents), 26), float("nan"))

    answer = ask(Served(name="broken", encoder=Broken()), OPENAI, {"input": "a"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "model_failed"


def test_nothing_may_be_served_too() -> None:
    app = create_app(Serving(Offer.of()))
    answer = in_app(app, lambda client: client.post(OPENAI, json={"input": "a"}))
    assert answer.status_code == 404
    assert "(none), the request names none" in answer.json()["error"]["message"]
