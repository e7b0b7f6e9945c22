"""Vectors of a served endpoint: the wire format of OpenAI's `/v1/embeddings`, which most speak.

Shapes: N texts, D dimensions.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.llm.client import Client
from nearfar.llm.endpoints import OpenAIEndpoint, translated
from nearfar.llm.messages import Hiccup, NoAnswer

Vectors = npt.NDArray[np.float32]

MOST_TEXTS = 2_048  # of one request: OpenAI's limit
MOST_TOKENS = 300_000  # of one request: OpenAI's limit
_TOO_MANY = (413, 422)  # of one request, says a server that allows fewer
_NUMBER = "<f4"  # what base64 packs


@dataclass(frozen=True, slots=True)
class Served:
    """What came back from one request or several."""

    vectors: Vectors  # (N, D), in the order of the texts
    tokens: int | None  # that the server counted; None: it did not say


def batches_of(texts: Sequence[str], most_texts: int = MOST_TEXTS) -> Iterator[list[str]]:
    """Yield the texts in their order, in requests that no server of OpenAI's limits refuses.

    A token is a byte or more, so bytes are counted: the tokens cannot be more.
    """
    batch: list[str] = []
    held = 0
    for text in texts:
        size = len(text.encode())
        if batch and (len(batch) == most_texts or held + size > MOST_TOKENS):
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += size
    if batch:
        yield batch


@dataclass
class EmbeddingClient(Client):
    """Asks an endpoint for vectors, as patiently as `Client` asks for answers."""

    most_texts: int = field(default=MOST_TEXTS, init=False)  # learned from a server of less
    _format: str = field(default="base64", init=False)  # float, once a server refuses that

    def embed(self, texts: Sequence[str]) -> Served:
        """Return the vectors of texts that fit into one request; raises as `Client.ask`.

        A server that takes fewer texts at once says so with 413 or 422. It gets half as many,
        now and later.
        """
        try:
            return self._patiently(texts)
        except NoAnswer as error:
            status = getattr(error.__cause__, "status_code", None)
            if status not in _TOO_MANY or len(texts) == 1:
                raise
        half = -(-len(texts) // 2)
        self.most_texts = min(self.most_texts, half)
        parts = [self.embed(texts[:half]), self.embed(texts[half:])]
        tokens = [part.tokens for part in parts]
        vectors = _joined([part.vectors for part in parts], self.settings.model)
        return Served(vectors, None if None in tokens else sum(filter(None, tokens)))

    def _patiently(self, texts: Sequence[str]) -> Served:
        for tried in range(self.settings.retries + 1):
            self._wait_for_turn()
            try:
                return self._once(texts)
            except Hiccup as hiccup:
                problem = hiccup
            self._wait(problem, tried)
        raise NoAnswer(
            f"{self.settings.model} gave no vectors in {self.settings.retries + 1} tries. "
            f"The last one: {problem}."
        )

    def _once(self, texts: Sequence[str]) -> Served:
        assert isinstance(self.endpoint, OpenAIEndpoint), "vectors come in OpenAI's format"
        sdk, form = self.endpoint.sdk, self._format
        create = self.endpoint.client.embeddings.create
        asked = {"model": self.endpoint.model, "input": list(texts)}
        with translated(sdk, self.endpoint.model, paid=True):
            try:
                found = create(**asked, encoding_format=form)
            except sdk.APIStatusError as error:
                if form == "float" or "encoding_format" not in str(error):
                    raise
                self._format = "float"
                found = create(**asked, encoding_format="float")
            rows = sorted(found.data, key=lambda row: row.index)
            if [row.index for row in rows] != list(range(len(texts))):
                raise ValueError(f"{len(texts)} texts were sent, {len(rows)} vectors came back")
            vectors = [_numbers(row.embedding) for row in rows]
            if len({len(vector) for vector in vectors}) != 1:
                raise ValueError("its vectors have different lengths")
            used = found.usage
            return Served(np.stack(vectors), used and used.prompt_tokens)


def _numbers(sent: Any) -> Vectors:
    """Return a vector that came as base64 of little-endian float32, or as a list of numbers."""
    packed = isinstance(sent, str)
    found = np.frombuffer(base64.b64decode(sent, validate=True), _NUMBER) if packed else sent
    vector = np.asarray(found, dtype=np.float32)
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise ValueError("a vector of it is empty, or holds something that is no finite number")
    return vector


def _joined(parts: Sequence[Vectors], model: str) -> Vectors:
    if len({part.shape[1] for part in parts}) != 1:
        raise NoAnswer(f"{model} answers with vectors of different lengths. Is it one model?")
    return np.concatenate(parts)
