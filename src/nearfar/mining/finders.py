"""Who brings candidates: an encoder, exactly or nearly so, and BM25; and what several agree on.

Shapes: Q queries, C documents, D dimensions, K places, S documents that may be mined.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.words import words_of
from nearfar.errors import BadSetting
from nearfar.vectors.nearest import nearest
from nearfar.vectors.ranks import RRF

_RECALL = 0.95  # least share of the exact neighbours that an approximate search must find
_QUERIES_TRIED = 256  # on which that is measured


class Finder(Protocol):
    """Brings candidates for queries."""

    def find(
        self, queries: Sequence[str], vectors: Float[Tensor, "Q D"], k: int
    ) -> Int[Tensor, "Q K"]:
        """Return the rows of candidates, the nearest first; -1 where there are no more."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """The nearest documents of an encoder's space, none missed."""

    documents: Float[Tensor, "C D"]
    among: Int[Tensor, " S"]
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a constant)

    def find(
        self, queries: Sequence[str], vectors: Float[Tensor, "Q D"], k: int
    ) -> Int[Tensor, "Q K"]:
        """Return the rows of the nearest."""
        # Mapped rows picked one by one would be copied: where all may be mined, none are picked.
        among = None if len(self.among) == len(self.documents) else self.among
        return nearest(vectors.to(self.device), self.documents, k, among=among)[1].cpu()


class Approximate:
    """The nearest documents by way of lists of neighbours (IVF), with a measured recall.

    The number of lists that are looked through is doubled until the first queries find at least
    95 % of their exact neighbours.

    Source: Jégou et al. 2011, doi:10.1109/TPAMI.2010.57 (inverted lists), by the library faiss.
    """

    def __init__(self, documents: Float[Tensor, "C D"], among: Int[Tensor, " S"]) -> None:
        try:
            import faiss
        except ImportError as error:
            raise BadSetting(
                "mining.search approximate needs the library faiss. Run `pip install "
                "'nearfar[faiss]'`, or leave the search exact."
            ) from error
        self._documents, self._among = documents, among
        self._lists = max(min(int(4 * math.sqrt(len(among))), len(among) // 4), 1)
        dim = documents.shape[1]
        self._index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dim), dim, self._lists, faiss.METRIC_INNER_PRODUCT
        )
        self._index.cp.min_points_per_centroid = 1  # it would print a warning for small corpora
        some = among[torch.linspace(0, len(among) - 1, min(len(among), 64 * self._lists)).long()]
        self._index.train(documents[some].numpy())
        for part in torch.split(among, 65_536):
            self._index.add_with_ids(documents[part].numpy(), part.numpy())
        self.recall: float | None = None

    def find(
        self, queries: Sequence[str], vectors: Float[Tensor, "Q D"], k: int
    ) -> Int[Tensor, "Q K"]:
        """Return the rows of about the nearest."""
        if self.recall is None:
            self._widen(vectors[:_QUERIES_TRIED], k)
        return torch.from_numpy(self._index.search(vectors.numpy(), k)[1])

    def _widen(self, vectors: Float[Tensor, "Q D"], k: int) -> None:
        exact = Exact(self._documents, self._among).find([], vectors, k).numpy()
        probes = 1
        while True:
            self._index.nprobe = probes
            found = self._index.search(vectors.numpy(), k)[1]
            hits = [len(np.intersect1d(a, b)) for a, b in zip(found, exact, strict=True)]
            self.recall = float(sum(hits) / exact.size)
            if self.recall >= _RECALL or probes >= self._lists:
                return
            probes = min(2 * probes, self._lists)


class Lexical:
    """The documents that share the rarest words with the query (BM25), by the library bm25s.

    Words are those of `words_of`, as in the index of `nearfar index --lexical`.
    """

    def __init__(self, dataset: Dataset, among: Int[Tensor, " S"]) -> None:
        import bm25s

        self._among = among
        wanted = set(among.tolist())
        self._known: dict[str, int] = {}
        numbers = [
            [self._known.setdefault(word, len(self._known)) for word in words_of(content)]
            for row, content in enumerate(_contents(dataset))
            if row in wanted
        ]
        self._index: Any = bm25s.BM25(method="lucene")
        if self._known:
            self._index.index((numbers, dict(self._known)), show_progress=False)

    def find(
        self, queries: Sequence[str], vectors: Float[Tensor, "Q D"], k: int
    ) -> Int[Tensor, "Q K"]:
        """Return the rows of the best matches; a document without a common word is none."""
        del vectors
        k = min(k, len(self._among))
        rows = torch.full((len(queries), k), -1)
        words = [[word for word in words_of(asked) if word in self._known] for asked in queries]
        able = [place for place, asked in enumerate(words) if asked]
        if able:
            found, scores = self._index.retrieve(
                [words[place] for place in able], k=k, show_progress=False
            )
            best = self._among[torch.from_numpy(found.astype(np.int64))]
            rows[able] = best.where(torch.from_numpy(scores) > 0, -1)
        return rows


def _contents(dataset: Dataset) -> Iterator[str]:
    for batch in dataset.batches("documents", ["content"]):
        yield from batch["content"].to_pylist()


def fused(found: Sequence[Int[Tensor, "Q K"]], k: int) -> Int[Tensor, "Q K"]:
    """Return the rows that several finders put highest together; -1 where there are no more.

        score(d) = sum over finders of 1 / (60 + rank of d)

    Source: Cormack et al. 2009, doi:10.1145/1571941.1572114 (reciprocal rank fusion).
    """
    if len(found) == 1:
        return found[0][:, :k]
    fused_rows = torch.full((len(found[0]), k), -1)
    for query in range(len(found[0])):
        scores: dict[int, float] = {}
        for rows in found:
            for rank, row in enumerate(rows[query].tolist(), start=1):
                if row >= 0:
                    scores[row] = scores.get(row, 0.0) + 1 / (RRF + rank)
        best = sorted(scores, key=lambda row: (-scores[row], row))[:k]
        fused_rows[query, : len(best)] = torch.tensor(best, dtype=torch.long)
    return fused_rows
