"""What a card says that a model is, and how it is used: an encoder, or a reranker."""

import json
from collections.abc import Iterator

from nearfar.model.space import EmbeddingSpace
from nearfar.release.markdown import plain
from nearfar.release.subject import Reads
from nearfar.release.verdict import Verdict

_PASSED = "It was released because it passed the gate below."
_CANARY = "for a part of the traffic: the evidence below was not enough for a release."


def encoder_words(space: EmbeddingSpace, verdict: Verdict) -> str:
    """Say what an encoder is."""
    if verdict.outcome != "PASS":
        return f"An embedding model of {space.dim} numbers a text, {_CANARY}"
    normal = "of length 1" if space.normalised else "whose length is not fixed"
    return (
        f"An embedding model: texts become vectors of {space.dim} numbers, {normal}, and the "
        "cosine of two vectors says how well a document answers a query. It reads the first "
        f"{space.max_tokens} tokens of a text. {_PASSED}"
    )


def reranker_words(reads: Reads, verdict: Verdict) -> str:
    """Say what a reranker is, and with whom it was judged."""
    stages = reads.stages
    kind = "A cross-encoder"
    if reads.words is not None:
        yes, no = (plain(word.strip()) for word in reads.words)
        kind = f"A language model that is asked for {yes} or {no}"
    by = "meaning and words" if stages.words_too else "meaning"
    ends = _PASSED if verdict.outcome == "PASS" else f"It is {_CANARY}"
    return (
        f"{kind}: it reads a query and a document together, {reads.max_tokens} tokens of both, and "
        "says one number: the higher, the better the document answers. It was judged by the order "
        f"that it gave to {stages.candidates:,} candidates of each query, which an encoder had "
        f"found by {by}. {ends}"
    )


def encoder_usage(name: str, space: EmbeddingSpace) -> Iterator[str]:
    """Yield how an encoder is fetched and loaded, here and in sentence-transformers."""
    yield from _fetched(name)
    yield from _code_block(
        "from nearfar.model.text import TextEncoder\n"
        "from nearfar.vectors.similarity import cosine\n\n"
        f'encoder = TextEncoder.load("{name}")\n'
        'queries = encoder.encode(["how do I open it?"], "query")\n'
        'documents = encoder.encode(["Turn the key."], "document")\n'
        "print(cosine(queries, documents))"
    )
    yield "or, with the same vectors:"
    yield ""
    yield from _code_block(
        "from sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("{name}")\n'
        'queries = model.encode_query(["how do I open it?"])\n'
        'documents = model.encode_document(["Turn the key."])\n'
        "print(model.similarity(queries, documents))"
    )
    for role, prompt in (("queries", space.query_prompt), ("documents", space.document_prompt)):
        if prompt:
            yield f"Both put a prompt before {role}: {plain(json.dumps(prompt))}"
            yield ""


def reranker_usage(name: str, reads: Reads) -> Iterator[str]:
    """Yield how a reranker is fetched and loaded, here and in sentence-transformers."""
    yield from _fetched(name)
    yield from _code_block(
        "from nearfar.model.rerankers import load_reranker\n\n"
        f'reranker = load_reranker("{name}")\n'
        'print(reranker.score("how do I open it?", ["Turn the key.", "It is blue."]))'
    )
    yield "or, in the same order:"
    yield ""
    yield from _code_block(
        "from sentence_transformers import CrossEncoder\n\n"
        f'model = CrossEncoder("{name}")\n'
        'print(model.predict([("how do I open it?", "Turn the key.")]))'
    )
    if reads.calibrated:
        yield (
            "`calibration.json` turns its numbers into probabilities "
            "(`nearfar.model.calibration.read_calibration`)."
        )
        yield ""


def _fetched(name: str) -> Iterator[str]:
    yield f"`nearfar fetch REGISTRY {name}@ALIAS {name}` takes a checked copy. Then:"
    yield ""


def _code_block(text: str) -> Iterator[str]:
    yield from ("```python", text, "```", "")
