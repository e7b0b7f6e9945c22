"""Candidates: what meaning, or meaning and words together, bring for a query, best first.

Shapes: Q queries, C documents, D dimensions, S documents that may be found.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from nearfar.errors import require
from nearfar.search.lexical_file import LexicalIndex, best_rows
from nearfar.vectors.nearest import nearest
from nearfar.vectors.ranks import RRF
from nearfar.vectors.similarity import unit


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that may answer, and why it is thought so."""

    row: int  # of the index
    rank: int  # from 1
    score: float  # the cosine; where words join in, what the fusion makes of both
    cosine: float
    vector_rank: int | None  # by cosine; None: words alone brought it
    bm25: float | None = None  # None: words were not asked
    word_rank: int | None = None  # by BM25; None: meaning alone brought it


@dataclass(frozen=True, slots=True)
class Fusion:
    """How words join meaning.

        by ranks      score(d) = 1 / (60 + rank by cosine) + 1 / (60 + rank by BM25)
        by weight w   score(d) = w (cosine + 1) / (best cosine + 1) + (1 - w) BM25 / best BM25

    By ranks, a list that does not hold d adds nothing. By weight, both scores of d are taken
    whoever brought it; each is divided by its range, from the least it can be to the best there is.

    Source: Cormack et al. 2009, doi:10.1145/1571941.1572114 (ranks); Bruch et al. 2022,
        arXiv:2210.11934, eq. 3 with the minima of the theory (weight).
    """

    lexical: LexicalIndex
    weight: float | None = None  # of meaning, 0 to 1; None: by ranks, which needs no tuning

    def __post_init__(self) -> None:
        holds = self.weight is None or 0 <= self.weight <= 1
        require(holds, "the weight of a fusion", "between 0 and 1, or none", self.weight)

    @classmethod
    def by_lexical_weight(cls, lexical: LexicalIndex, weight: float | None) -> "Fusion":
        """Return one by the weight of words, 0 to 1, as people say it; None: by ranks."""
        return cls(lexical, None if weight is None else 1 - weight)


def find_candidates(
    documents: Float[Tensor, "C D"],
    queries: Float[Tensor, "Q D"],
    texts: list[str],
    k: int,
    *,
    among: Int[Tensor, " S"] | None = None,
    fusion: Fusion | None = None,
) -> list[list[Candidate]]:
    """Return the k best candidates of each query; equals in the order of the documents.

    Args:
        documents: vectors of length 1, such as those of an index; may be memory-mapped.
        queries: their vectors, of any length.
        texts: the same queries in words.
        k: at most so many, 1 or more. Meaning and words each bring k, and the best k stay.
        among: the only rows that may be found, ascending.
        fusion: how words join in; None: meaning alone.
    """
    vectors = unit(queries)
    cosines, rows = nearest(vectors, documents, k, among=among)
    near = [
        dict(zip(own, values, strict=True))
        for own, values in zip(rows.tolist(), cosines.tolist(), strict=True)
    ]
    if fusion is None:
        return [
            [Candidate(row, rank, cosine, cosine, rank)
             for rank, (row, cosine) in enumerate(found.items(), start=1)]
            for found in near
        ]  # fmt: skip
    joined = []
    for found, vector, text in zip(near, vectors, texts, strict=True):
        heard = fusion.lexical.scores(text)
        worded = best_rows(heard, k, None if among is None else among.numpy())
        if missing := [row for row in worded if row not in found]:
            others = (documents[missing].float() @ vector).tolist()
        else:
            others = []
        cosine_of = found | dict(zip(missing, others, strict=True))
        bm25_of = {row: float(heard[row]) for row in cosine_of}
        joined.append(fused(list(found), worded, cosine_of, bm25_of, fusion.weight)[:k])
    return joined


def fused(
    near: list[int],
    worded: list[int],
    cosine_of: dict[int, float],
    bm25_of: dict[int, float],
    weight: float | None,
) -> list[Candidate]:
    """Return all that meaning or words brought, best first."""
    vector_ranks, word_ranks = (
        {row: rank for rank, row in enumerate(rows, start=1)} for rows in (near, worded)
    )
    if weight is None:
        both = (vector_ranks, word_ranks)
        score_of = {
            row: sum(1 / (RRF + ranks[row]) for ranks in both if row in ranks) for row in cosine_of
        }
    else:
        top = max(cosine_of.values(), default=0.0) + 1
        most = max(bm25_of.values(), default=0.0)
        score_of = {
            row: weight * ((cosine + 1) / top if top > 0 else 0.0)
            + (1 - weight) * (bm25_of[row] / most if most > 0 else 0.0)
            for row, cosine in cosine_of.items()
        }
    ordered = sorted(score_of, key=lambda row: (-score_of[row], row))
    return [
        Candidate(row, rank, score_of[row], cosine_of[row], vector_ranks.get(row),
                  bm25_of[row], word_ranks.get(row))
        for rank, row in enumerate(ordered, start=1)
    ]  # fmt: skip
