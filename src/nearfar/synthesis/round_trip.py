"""Which written queries are fit to learn from, judged by where an encoder puts them.

Shapes: N candidates, C documents, M queries of dev and test, D dimensions, K places.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.spool import short_hash
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.synthesis.candidates import Candidate
from nearfar.synthesis.filters import normal
from nearfar.synthesis.settings import Filters
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

_ROWS_PER_CHUNK = 2_048  # texts embedded at once
_CANDIDATES_PER_CHUNK = 1_024


@dataclass
class VectorSieve:
    """Keeps candidates by where an encoder puts them.

    Memory: the vectors of all documents if there is a round trip, and of the dev and test queries.
    """

    encoder: Encoder
    filters: Filters
    rows: Mapping[str, int]  # document id: its row
    texts: list[bytes]  # by row: what documents of one text share
    documents: Float[Tensor, "C D"] | None  # None: no round trip
    measured: Float[Tensor, "M D"]
    siblings: Mapping[str, list[str]]  # document id: the queries it has
    dropped: Counter[str] = field(default_factory=Counter)
    _document_id: str = ""  # the document whose queries `_kept` holds
    _kept: list[Tensor] = field(default_factory=list)

    def sift(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, int | None]]:
        """Yield those that pass with the rank of their document; count the others by reason."""
        waiting = iter(candidates)
        while some := list(islice(waiting, _CANDIDATES_PER_CHUNK)):
            vectors = unit(self.encoder.encode([c.text for c in some], "query"))
            ranks = self._ranks(some, vectors)
            leaks = self._leaks(vectors)
            for candidate, vector, rank, leak in zip(some, vectors, ranks, leaks, strict=True):
                reason = self._reason(candidate, vector, rank, leak)
                if reason is None:
                    self._kept.append(vector)
                    yield candidate, rank
                else:
                    self.dropped[reason] += 1

    def _reason(
        self, candidate: Candidate, vector: Float[Tensor, " D"], rank: int | None, leak: bool
    ) -> str | None:
        self._turn_to(candidate.passage.document.id)
        if self.documents is not None and rank is None:
            return f"own document not among the {self.filters.rank} nearest"
        if leak:
            return "too close to a query of dev or test"
        most = self.filters.near_duplicate_cosine
        if (
            most is not None
            and self._kept
            and bool((torch.stack(self._kept) @ vector).max() >= most)
        ):
            return "near-duplicate of a query of its document"
        return None

    def _turn_to(self, document_id: str) -> None:
        """Candidates come document by document: only one document's queries stand in memory."""
        if document_id == self._document_id:
            return
        texts = self.siblings.get(document_id, [])
        self._document_id = document_id
        self._kept = list(unit(self.encoder.encode(texts, "query"))) if texts else []

    def _ranks(self, some: list[Candidate], vectors: Float[Tensor, "N D"]) -> list[int | None]:
        if self.documents is None:
            return [None] * len(some)
        assert self.filters.rank is not None
        _, places = nearest(vectors, self.documents, self.filters.rank)  # (N, K)
        found: list[int | None] = []
        for candidate, rows in zip(some, places.tolist(), strict=True):
            # A copy of the document under another id is found as well as the document.
            own = self.texts[self.rows[candidate.passage.document.id]]
            ranks = (rank for rank, row in enumerate(rows, start=1) if self.texts[row] == own)
            found.append(next(ranks, None))
        return found

    def _leaks(self, vectors: Float[Tensor, "N D"]) -> list[bool]:
        most = self.filters.measured_cosine
        if most is None or len(self.measured) == 0:
            return [False] * len(vectors)
        scores, _ = nearest(vectors, self.measured, 1)
        return [score >= most for score in scores[:, 0].tolist()]


def vector_sieve(
    encoder: Encoder,
    dataset: Dataset,
    filters: Filters,
    ids: AbstractSet[str],
    progress: Progress = silent,
) -> VectorSieve:
    """Embed what candidates are held against.

    Args:
        encoder: judges what lies close to what.
        dataset: whose documents and queries they are.
        filters: which rules are on.
        ids: the documents that queries are written for.
        progress: told while documents are embedded.
    """
    rows: dict[str, int] = {}
    texts: list[bytes] = []
    count = dataset.count("documents")
    vectors = torch.empty((count, encoder.space.dim)) if filters.rank is not None else None
    for batch in dataset.batches("documents", ["id", "content"]):
        for start in range(0, len(batch), _ROWS_PER_CHUNK):
            some = batch.slice(start, _ROWS_PER_CHUNK).to_pydict()
            done = len(texts)
            rows.update((id, done + place) for place, id in enumerate(some["id"]))
            texts += [short_hash(normal(content)) for content in some["content"]]
            if vectors is not None:
                vectors[done : len(texts)] = unit(encoder.encode(some["content"], "document"))
                progress("embed documents", len(texts), count)
    measured, siblings = _queries(dataset, ids)
    asked = measured if filters.measured_cosine is not None else []
    return VectorSieve(
        encoder=encoder,
        filters=filters,
        rows=rows,
        texts=texts,
        documents=vectors,
        measured=unit(encoder.encode(asked, "query")),
        siblings=siblings if filters.near_duplicate_cosine is not None else {},
    )


def _queries(dataset: Dataset, ids: AbstractSet[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the queries of dev and test, and those that the documents with `ids` answer."""
    measured: set[str] = set()
    answered: dict[str, list[str]] = {}
    for judgment in dataset.judgments():
        if judgment.split in ("dev", "test"):
            measured.add(judgment.query_id)
        elif judgment.grade > 0 and judgment.document_id in ids:
            answered.setdefault(judgment.query_id, []).append(judgment.document_id)
    asked: list[str] = []
    siblings: dict[str, list[str]] = {}
    for query in dataset.queries():
        if query.id in measured:
            asked.append(query.content)
        for document_id in answered.get(query.id, ()):
            siblings.setdefault(document_id, []).append(query.content)
    return asked, siblings
