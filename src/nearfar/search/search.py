"""Search: the documents nearest in meaning to a query, best first.

Shapes: Q queries, D dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import overload

from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.model.encoder import Encoder
from nearfar.model.space import require_same_space
from nearfar.records import Document
from nearfar.search.index import Index
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found."""

    document: Document
    score: float  # cosine with the query, -1 to 1
    rank: int  # from 1


@overload
def search(
    index: Index,
    encoder: Encoder,
    query: str,
    *,
    k: int = 10,
    where: Mapping[str, str] | None = None,
) -> list[Hit]: ...


@overload
def search(
    index: Index,
    encoder: Encoder,
    query: list[str] | tuple[str, ...],
    *,
    k: int = 10,
    where: Mapping[str, str] | None = None,
) -> list[list[Hit]]: ...


def search(
    index: Index,
    encoder: Encoder,
    query: str | list[str] | tuple[str, ...],
    *,
    k: int = 10,
    where: Mapping[str, str] | None = None,
) -> list[Hit] | list[list[Hit]]:
    """Return the k documents with the highest cosine; equals in the order of the index.

    Args:
        index: what is searched, every vector of it.
        encoder: must be of the space the index was built with.
        query: one text, or a list of them.
        k: at most so many hits per query, 1 or more.
        where: fields that must have exactly these values, such as {"language": "de"}.

    Returns:
        Hits, best first; for a list of queries, one such list each.

    Raises:
        SpaceMismatch: the index was built with another model; names each choice that differs.
        BadSetting: k is below 1, or `where` names an unknown field or an impossible value.
        BadFile: the stored documents are damaged.
    """
    require_same_space(encoder.space, index.space, to="search this index")
    texts = [query] if isinstance(query, str) else list(query)
    found = search_vectors(index, encoder.encode(texts, "query"), k=k, where=where)
    return found[0] if isinstance(query, str) else found


def search_vectors(
    index: Index,
    queries: Float[Tensor, "Q D"],
    *,
    k: int = 10,
    where: Mapping[str, str] | None = None,
) -> list[list[Hit]]:
    """Search with queries that are vectors already; that they are of this space, the caller knows.

    Raises:
        BadSetting, BadFile: as `search`.
    """
    if k < 1:
        raise BadSetting(f"k must be 1 or more, got {k}.")
    among = index.documents.rows_where(where) if where else None
    scores, rows = nearest(unit(queries), index.vectors, k, among=among)
    documents = index.documents.fetch(rows.flatten().tolist())
    return [
        [
            Hit(documents[row], score, rank)
            for rank, (score, row) in enumerate(zip(some, places, strict=True), start=1)
        ]
        for some, places in zip(scores.tolist(), rows.tolist(), strict=True)
    ]
