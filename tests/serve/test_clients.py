"""The clients that people have, as they are, against a server on this machine.

Those of the marked suite are skipped where they are not installed.
"""

import shutil
import subprocess
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import orjson
import pytest
from running import running
from tiny import WORDS, tiny_bert, tiny_cross

from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.records import Role
from nearfar.serve.app import create_app
from nearfar.serve.served import Offer, Served, ServedReranker, Serving

TEXTS = [" ".join(WORDS[(7 * i + k) % len(WORDS)] for k in range(1 + 4 * i)) for i in range(6)]
QUERY = "ba be bi"
# Other people's clients may warn of their own ways.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = tiny_bert(tmp_path_factory.mktemp("encoder"))
    return TextEncoder.load(folder, TextSettings(query_prompt="ba: ", document_prompt="do: "))


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder.load(tiny_cross(tmp_path_factory.mktemp("cross")))


@pytest.fixture(scope="module")
def address(encoder: TextEncoder, cross: CrossEncoder) -> Iterator[str]:
    models = [Served(name="tiny", encoder=encoder, dims=(8,))]
    rerankers = [ServedReranker(name="cross", reranker=cross)]
    with running(create_app(Serving(Offer.of(models, rerankers)))) as address:
        yield address


def same(found: object, encoder: TextEncoder, role: Role, dim: int | None = None) -> None:
    """See that vectors are the encoder's."""
    expected = encoder.encode(TEXTS, role).numpy()[:, :dim]
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(found), expected, atol=1e-6)


def ordered(places: list[int], scores: list[float], cross: CrossEncoder) -> None:
    """See that the best three are the reranker's."""
    logits = cross.score(QUERY, TEXTS)
    expected = logits.argsort(descending=True)[:3]
    assert places == expected.tolist()
    assert scores == pytest.approx(logits[expected].sigmoid().tolist(), abs=1e-6)


@pytest.fixture(scope="module")
def asked_by_openai(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield client


def test_openai(asked_by_openai: openai.OpenAI, encoder: TextEncoder) -> None:
    create = asked_by_openai.embeddings.create
    answer = create(model="tiny", input=TEXTS)  # it asks for base64 by itself
    same([row.embedding for row in answer.data], encoder, "document")
    assert answer.usage.total_tokens == sum(map(len, encoder.tokens(TEXTS, "document").rows))
    answer = create(model="tiny", input=TEXTS, encoding_format="float", dimensions=8)
    same([row.embedding for row in answer.data], encoder, "document", 8)
    answer = create(model="tiny", input=TEXTS, extra_body={"input_type": "query"})
    same([row.embedding for row in answer.data], encoder, "query")
    answer = create(model="tiny:query", input=TEXTS)
    same([row.embedding for row in answer.data], encoder, "query")
    assert next(row.id for row in asked_by_openai.models.list()) == "tiny"


def test_openai_reads_why_it_is_refused(asked_by_openai: openai.OpenAI) -> None:
    create = asked_by_openai.embeddings.create
    with pytest.raises(openai.BadRequestError) as refused:
        create(model="tiny", input=[[5, 5], [3, 3]])
    assert refused.value.code == "token_ids_not_supported"
    assert refused.value.param == "input"
    with pytest.raises(openai.NotFoundError, match="'gpt-9'"):
        create(model="gpt-9", input="ba")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_curl(address: str, encoder: TextEncoder, cross: CrossEncoder) -> None:
    def curl(path: str, body: object, *options: str) -> bytes:
        command = ["curl", "--silent", "--max-time", "20", *options, f"{address}{path}",
                   "--data-binary", "@-"]  # fmt: skip
        return subprocess.run(
            command, input=orjson.dumps(body), capture_output=True, check=True
        ).stdout

    json = ("-H", "Content-Type: application/json")
    same(orjson.loads(curl("/embed", {"inputs": TEXTS}, *json)), encoder, "document")
    found = orjson.loads(curl("/rerank", {"query": QUERY, "texts": TEXTS}, *json))[:3]
    ordered([row["index"] for row in found], [row["score"] for row in found], cross)
    # What curl sends by itself is no JSON by name: it is told which header to add.
    assert b"Content-Type: application/json" in curl("/embed", {"inputs": TEXTS})


def test_httpx(address: str, cross: CrossEncoder) -> None:
    body = {"query": QUERY, "documents": TEXTS, "top_n": 3, "model": "cross"}
    found = httpx.post(f"{address}/v2/rerank", json=body).json()["results"]
    ordered([r["index"] for r in found], [r["relevance_score"] for r in found], cross)


@pytest.mark.slow
def test_cohere(address: str, encoder: TextEncoder, cross: CrossEncoder) -> None:
    cohere = pytest.importorskip("cohere")
    client = cohere.ClientV2(api_key="k", base_url=address)
    answer = client.embed(
        model="tiny", texts=TEXTS, input_type="search_query", embedding_types=["float"]
    )
    same(answer.embeddings.float_, encoder, "query")
    answer = client.embed(
        model="tiny", texts=TEXTS, input_type="search_document", output_dimension=8
    )
    same(answer.embeddings.float_, encoder, "document", 8)
    for asked in (client, cohere.Client(api_key="k", base_url=address)):
        found = asked.rerank(model="cross", query=QUERY, documents=TEXTS, top_n=3).results
        ordered([r.index for r in found], [r.relevance_score for r in found], cross)
    found = asked.rerank(
        model="cross", query=QUERY, documents=[{"text": text} for text in TEXTS], top_n=3,
        return_documents=True,
    ).results  # fmt: skip
    assert [r.document.text for r in found] == [TEXTS[r.index] for r in found]
    with pytest.raises(cohere.NotFoundError, match="'rerank-v9'"):
        client.rerank(model="rerank-v9", query=QUERY, documents=TEXTS)


@pytest.mark.slow
def test_voyageai(address: str, encoder: TextEncoder, cross: CrossEncoder) -> None:
    voyageai = pytest.importorskip("voyageai")
    client = voyageai.Client(api_key="k", base_url=f"{address}/v1")
    same(client.embed(TEXTS, model="tiny", input_type="query").embeddings, encoder, "query")
    answer = client.embed(TEXTS, model="tiny", input_type="document", output_dimension=8)
    same(answer.embeddings, encoder, "document", 8)
    bits = client.embed(TEXTS, model="tiny", output_dtype="ubinary").embeddings
    signs = encoder.encode(TEXTS, "document").numpy() > 0
    assert np.array_equal(np.unpackbits(np.array(bits, dtype=np.uint8), axis=1), signs)
    for most in (3, None):
        found = client.rerank(QUERY, TEXTS, model="cross", top_k=most).results[:3]
        ordered([r.index for r in found], [r.relevance_score for r in found], cross)
    with pytest.raises(voyageai.error.InvalidRequestError, match="8, 32 numbers; found 9"):
        client.embed(TEXTS, model="tiny", output_dimension=9)


@pytest.mark.slow
def test_langchain_openai(address: str, encoder: TextEncoder) -> None:
    langchain = pytest.importorskip("langchain_openai", exc_type=ImportError)
    client = langchain.OpenAIEmbeddings(
        model="tiny", base_url=f"{address}/v1", api_key="k", check_embedding_ctx_length=False
    )
    same(client.embed_documents(TEXTS), encoder, "document")


@pytest.mark.slow
def test_haystack(address: str, encoder: TextEncoder) -> None:
    embedders = pytest.importorskip("haystack.components.embedders")
    haystack, secrets = pytest.importorskip("haystack"), pytest.importorskip("haystack.utils")
    asked = {"api_key": secrets.Secret.from_token("k"), "api_base_url": f"{address}/v1"}
    documents = [haystack.Document(content=text) for text in TEXTS]
    found = embedders.OpenAIDocumentEmbedder(model="tiny", progress_bar=False, **asked)
    same([d.embedding for d in found.run(documents)["documents"]], encoder, "document")
    one = embedders.OpenAITextEmbedder(model="tiny:query", **asked)
    same([one.run(text)["embedding"] for text in TEXTS], encoder, "query")


@pytest.mark.slow
def test_llama_index(address: str, encoder: TextEncoder) -> None:
    llama = pytest.importorskip("llama_index.embeddings.openai")
    client = llama.OpenAIEmbedding(model_name="tiny", api_base=f"{address}/v1", api_key="k")
    same(client.get_text_embedding_batch(TEXTS), encoder, "document")
