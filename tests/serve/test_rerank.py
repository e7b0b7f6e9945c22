"""Documents are ordered as the reranker orders them, whoever's format asks."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import torch
from inside import in_app
from letter_reranker import LetterReranker
from running import running
from tiny import WORDS, tiny_cross, tiny_llama

from nearfar.errors import BadModel
from nearfar.model.calibration import Calibration, Honesty
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.reranker import Reranker
from nearfar.model.yes_no import YesNoReranker
from nearfar.serve.app import create_app
from nearfar.serve.served import Bounds, Offer, ServedReranker, Serving

QUERY = "ba be bi"
DOCUMENTS = [" ".join(WORDS[(11 * i + k) % len(WORDS)] for k in range(1 + 5 * i)) for i in range(8)]
LONG = " ".join(WORDS)
PERFECT = Honesty(0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder.load(tiny_cross(tmp_path_factory.mktemp("cross")))


@pytest.fixture(scope="module")
def yes_no(tmp_path_factory: pytest.TempPathFactory) -> YesNoReranker:
    return YesNoReranker.load(tiny_llama(tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="module")
def client(cross: CrossEncoder, yes_no: YesNoReranker) -> Iterator[httpx.Client]:
    fitted = Calibration(cross.fingerprint, "platt", 0.5, -1.0, 10, 5, PERFECT, PERFECT)
    rerankers = [
        ServedReranker(name="cross", reranker=cross),
        ServedReranker(name="fitted", reranker=cross, calibration=fitted),
        ServedReranker(name="yes-no", reranker=yes_no),
        ServedReranker(name="letters", reranker=LetterReranker()),
    ]
    app = create_app(Serving(Offer.of([], rerankers)))
    with running(app) as address, httpx.Client(base_url=address) as client:
        yield client


def logits(reranker: Reranker, documents: list[str] = DOCUMENTS) -> list[float]:
    return reranker.score(QUERY, documents).tolist()


def sigmoid(logit: float, slope: float = 1.0, offset: float = 0.0) -> float:
    return 1 / (1 + math.exp(-(slope * logit + offset)))


def scores_of(answer: httpx.Response) -> dict[int, float]:
    """Return the score of each place, and see that they stand best first."""
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if isinstance(found, dict):
        found = found.get("results") or found["data"]
    scores = {row["index"]: row.get("score", row.get("relevance_score")) for row in found}
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    return scores


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v2/rerank", {"documents": DOCUMENTS, "max_tokens_per_doc": None}),
    ("/v2/rerank", {"documents": DOCUMENTS, "max_tokens_per_doc": 4_096, "priority": 0}),
    ("/v1/rerank", {"documents": DOCUMENTS, "return_documents": True}),
    ("/v1/rerank", {"documents": [{"text": text, "x": 1} for text in DOCUMENTS]}),
    ("/v1/rerank", {"documents": [{"a": text, "text": "no"} for text in DOCUMENTS],
                    "rank_fields": ["a"]}),
    ("/v1/rerank", {"documents": DOCUMENTS, "top_k": None, "truncation": True}),
    ("/rerank", {"texts": DOCUMENTS, "return_text": True, "truncate": None}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), ASKED, ids=range(len(ASKED)))
@pytest.mark.parametrize("model", ["cross", "yes-no", "letters"])
def test_scores_are_the_sigmoids_of_the_rerankers_logits(
    client: httpx.Client,
    cross: CrossEncoder,
    yes_no: YesNoReranker,
    path: str,
    body: dict[str, Any],
    model: str,
) -> None:
    reranker = {"cross": cross, "yes-no": yes_no, "letters": LetterReranker()}[model]
    found = scores_of(client.post(path, json={"query": QUERY, "model": model, **body}))
    expected = dict(enumerate(map(sigmoid, logits(reranker))))
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_fitted_reranker_answers_with_its_own_probabilities(
    client: httpx.Client, cross: CrossEncoder
) -> None:
    expected = {i: sigmoid(logit, 0.5, -1.0) for i, logit in enumerate(logits(cross))}
    for path, texts in (("/v2/rerank", "documents"), ("/rerank", "texts")):
        body = {"query": QUERY, texts: DOCUMENTS, "model": "fitted"}
        assert scores_of(client.post(path, json=body)) == pytest.approx(expected, abs=1e-6)


def test_raw_scores_are_logits(client: httpx.Client, cross: CrossEncoder) -> None:
    body = {"query": QUERY, "texts": DOCUMENTS, "raw_scores": True, "model": "fitted"}
    expected = dict(enumerate(logits(cross)))
    assert scores_of(client.post("/rerank", json=body)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v2/rerank", {"top_n": 3}), ("/v1/rerank", {"top_n": 3}), ("/v1/rerank", {"top_k": 3})],
)
def test_only_so_many_of_the_best(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    whole = client.post(path, json={"query": QUERY, "documents": DOCUMENTS})
    some = client.post(path, json={"query": QUERY, "documents": DOCUMENTS, **body})
    assert list(scores_of(some)) == list(scores_of(whole))[:3]


def test_answers_have_the_shape_that_their_clients_read(client: httpx.Client) -> None:
    body = {"query": "abc", "documents": ["b", "abc"], "model": "letters"}
    new = client.post("/v2/rerank", json=body).json()
    assert set(new) == {"id", "results", "meta"}
    assert [set(row) for row in new["results"]] == [{"index", "relevance_score"}] * 2
    assert new["meta"]["api_version"]["version"] == "2"

    told = client.post("/v1/rerank", json=body | {"return_documents": True}).json()
    assert [row["document"] for row in told["results"]] == [{"text": "abc"}, {"text": "b"}]
    assert (told["model"], set(told["usage"])) == ("letters", {"prompt_tokens", "total_tokens"})

    voyage = body | {"top_k": 1, "return_documents": True}
    told = client.post("/v1/rerank", json=voyage).json()
    assert set(told) == {"object", "data", "model", "usage"}
    assert [(row["index"], row["document"]) for row in told["data"]] == [(1, "abc")]
    assert set(told["usage"]) == {"total_tokens"}

    tei = {"query": "abc", "texts": ["b", "abc"], "return_text": True, "model": "letters"}
    found = client.post("/rerank", json=tei).json()
    assert [(row["index"], row["text"]) for row in found] == [(1, "abc"), (0, "b")]
    assert "text" not in client.post("/rerank", json=tei | {"return_text": False}).json()[0]


def test_equals_stay_as_they_came_even_where_probabilities_run_together() -> None:
    class Sure(LetterReranker):
        def score_pairs(self, queries: Any, documents: Any, pairs: Any, **_: Any) -> Any:
            return torch.tensor([40.0, 41.0, 40.0])[[int(documents[d]) for _, d in pairs]]

    app = create_app(Serving(Offer.of([], [ServedReranker(name="sure", reranker=Sure())])))
    body = {"query": "q", "documents": ["0", "1", "2"]}
    found = in_app(app, lambda client: client.post("/v2/rerank", json=body)).json()["results"]
    assert [row["index"] for row in found] == [1, 0, 2]
    assert {row["relevance_score"] for row in found} == {1.0}


def test_a_document_is_read_as_far_as_the_client_says(
    client: httpx.Client, cross: CrossEncoder
) -> None:
    body = {"query": QUERY, "documents": [LONG, "ba"], "max_tokens_per_doc": 5}
    answer = client.post("/v2/rerank", json=body)
    expected = logits(cross, [" ".join(WORDS[:5]), "ba"])
    assert scores_of(answer) == pytest.approx(dict(enumerate(map(sigmoid, expected))), abs=1e-6)
    assert answer.headers["x-compute-tokens"] == str((3 + 3 + 5) + (3 + 3 + 1))


def test_a_pair_is_cut_only_if_the_client_allows(client: httpx.Client) -> None:
    for path, body in (
        ("/v1/rerank", {"documents": [LONG], "truncation": False}),
        ("/rerank", {"texts": [LONG], "truncate": False}),
    ):
        answer = client.post(path, json={"query": QUERY, **body})
        assert answer.status_code == 413
        assert "at most 64 tokens" in answer.text
    answer = client.post("/v2/rerank", json={"query": QUERY, "documents": [LONG, "ba"]})
    assert answer.headers["x-cut-texts"] == "1"


def test_requests_share_batches_and_each_gets_its_own() -> None:
    letters = LetterReranker()
    app = create_app(Serving(Offer.of([], [ServedReranker(name="letters", reranker=letters)])))

    async def test(client: httpx.AsyncClient) -> None:
        bodies = [
            {"query": "abcd"[:i], "documents": ["ab", "xx", "a" * i, "ab"], "top_n": 4}
            for i in range(1, 5)
        ]
        answers = await asyncio.gather(*(client.post("/v2/rerank", json=body) for body in bodies))
        for body, answer in zip(bodies, answers, strict=True):
            expected = [
                sigmoid(LetterReranker.like(body["query"], document))
                for document in body["documents"]
            ]
            assert scores_of(answer) == pytest.approx(dict(enumerate(expected)), abs=1e-6)

    in_app(app, test)
    assert sum(letters.waves) == 16


@pytest.mark.parametrize(
    ("bounds", "count", "said"),
    [
        (Bounds(documents_per_request=2), 3, "at most 2 texts, found 3"),
        (Bounds(pair_tokens_per_request=5), 3, "at most 5 tokens in one request, found 6"),
        (Bounds(characters_per_text=2), 1, "at most 2 characters, found one of 3"),
        (Bounds(), 100_000, "at most 10,000 texts, found 100,000"),
    ],
    ids=str,
)
def test_a_request_may_be_too_large(bounds: Bounds, count: int, said: str) -> None:
    rerankers = [ServedReranker(name="letters", reranker=LetterReranker())]
    app = create_app(Serving(Offer.of([], rerankers)), bounds=bounds)
    body = {"query": "abc", "documents": ["a"] * count}
    answer = in_app(app, lambda client: client.post("/v2/rerank", json=body))
    assert answer.status_code == 413
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v2/rerank", {"query": "", "documents": ["a"]}, 400, "query"),
        ("/v2/rerank", {"query": "q", "documents": []}, 400, "documents"),
        ("/v2/rerank", {"query": "q", "documents": [1, 2]}, 400, "documents.0"),
        ("/v2/rerank", {"query": "q", "documents": [{"title": "a"}]}, 400, "at place 0"),
        ("/v2/rerank", {"query": "q", "documents": ["a"], "top_n": 0}, 400, "top_n"),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "model": "x"}, 404, "cross, fitted"),
        ("/rerank", {"query": "q", "texts": []}, 422, "texts"),
        ("/rerank", {"query": ["q"], "texts": ["a"]}, 422, "query"),
        ("/rerank", {"query": "q", "texts": ["a"], "truncation_direction": "left"}, 422, "right"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(
    client: httpx.Client, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert said in answer.json().get("message", answer.json().get("error"))


def test_a_document_without_a_word_has_a_score(client: httpx.Client) -> None:
    assert len(scores_of(client.post("/rerank", json={"query": "q", "texts": ["", "a"]}))) == 2


def test_the_calibration_of_another_reranker_is_refused() -> None:
    other = Calibration("another", "platt", 1.0, 0.0, 2, 1, PERFECT, PERFECT)
    with pytest.raises(BadModel, match="letters in their places, found that of another"):
        ServedReranker(name="letters", reranker=LetterReranker(), calibration=other)
