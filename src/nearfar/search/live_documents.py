"""Documents on their way into an index: in chunks, each named by a digest of all it depends on."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nearfar.records import Document

_DOCUMENTS_PER_CHUNK = 1_024  # embedded and written at once: what is in stays in
_CHARACTERS_PER_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of documents that were put in."""

    embedded: int  # new or changed
    unchanged: int  # stood there already: same text, fields and source, in the same space

    @property
    def total(self) -> int:
        """Return how many they were."""
        return self.embedded + self.unchanged

    def __add__(self, other: "Upserted") -> "Upserted":
        return Upserted(self.embedded + other.embedded, self.unchanged + other.unchanged)


def digest(document: Document, embedding: str) -> str:
    """Return 32 hex digits that change with anything that is kept of a document.

    With more than the text: fields and source stand beside the vectors, and must be true too.

    Args:
        document: whose.
        embedding: names the space of its vectors, and how it is cut.
    """
    said = [embedding, document.content, document.group, document.source, dict(document.fields)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def chunks_of(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield documents in chunks that fit into memory, however long they are."""
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        chunk.append(document)
        characters += len(document.content)
        if len(chunk) == _DOCUMENTS_PER_CHUNK or characters >= _CHARACTERS_PER_CHUNK:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
