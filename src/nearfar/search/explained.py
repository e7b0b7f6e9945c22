"""Why a hit was found: its ranks and scores, the words it shares, the piece that was nearest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.data.words import words_of
from nearfar.records import Document
from nearfar.search.chunks import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What can be pointed at in a document that was found."""

    terms: tuple[str, ...]  # words of the query that stand in the document, in the query's order
    piece: int  # which piece counts, from 0
    pieces: int  # how many the document has
    span: Span  # of the piece, in characters of the content
    text: str  # of the piece


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveHit:
    """A document that was found, and why it stands where it does."""

    document: Document  # with its source: file and line
    rank: int  # from 1
    score: float  # of the first stage: the cosine, or what the fusion makes of both
    vector_rank: int | None  # by cosine; None: words alone brought it
    cosine: float | None
    word_rank: int | None = None  # None: meaning alone brought it, or words were not asked
    word_score: float | None = None  # BM25, or what the store has
    rerank_score: float | None = None  # the reranker's logit; None: it was not read
    why: Explanation | None = None  # if it was asked for

    def to_json(self) -> dict[str, Any]:
        """Return all of it in plain values."""
        numbers = {
            name: value if value is None else round(value, 6)
            for name, value in (
                ("score", self.score), ("cosine", self.cosine), ("word_score", self.word_score),
                ("rerank_score", self.rerank_score),
            )
        }  # fmt: skip
        document, why = self.document, self.why
        told: dict[str, Any] = {
            "rank": self.rank, **numbers,
            "vector_rank": self.vector_rank, "word_rank": self.word_rank,
            "id": document.id, "source": document.source, "group": document.group,
            "content": document.content, "fields": dict(document.fields),
        }  # fmt: skip
        if why is not None:
            told["why"] = {
                "terms": list(why.terms), "piece": why.piece, "pieces": why.pieces,
                "span": list(why.span), "text": why.text,
            }  # fmt: skip
        return told


def explain(query: str, content: str, spans: Sequence[Span], piece: int | None) -> Explanation:
    """Return what a query and a document that was found for it share.

    Args:
        query: what was asked.
        content: of the document.
        spans: its pieces.
        piece: the one that meaning found; None: words brought it, and that which has the most of
            the query's words counts.
    """
    asked = list(dict.fromkeys(words_of(query)))
    held = set(words_of(content))
    place = worded_piece(query, content, spans) if piece is None else min(piece, len(spans) - 1)
    start, stop = spans[place]
    return Explanation(
        terms=tuple(word for word in asked if word in held),
        piece=place,
        pieces=len(spans),
        span=(start, stop),
        text=content[start:stop],
    )


def worded_piece(query: str, content: str, spans: Sequence[Span]) -> int:
    """Return the piece with the most different words of a query, the first of equals."""
    if len(spans) == 1:
        return 0
    asked = set(words_of(query))
    shared = [len(asked & set(words_of(content[start:stop]))) for start, stop in spans]
    return shared.index(max(shared))
