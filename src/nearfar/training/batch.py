"""A batch: unique texts and every edge between them.

Shapes: T unique texts, Q queries, C documents, E edges.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.losses import Edges
from nearfar.training.store import TokenStore

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Batch:
    """A small bipartite graph."""

    texts: Ints  # (T,) rows of the token store, each encoded once
    query: Int[Tensor, " Q"]  # places among the texts
    document: Int[Tensor, " C"]  # places among the texts
    edges: Edges
    pairs: int  # how many pairs were drawn


def make_batch(store: TokenStore, queries: Ints, documents: Ints, *, pairs: int) -> Batch:
    """Return the graph of some texts: all that is known between them, however they came in.

    Args:
        store: the texts and what is known.
        queries: (Q,) rows, sorted, unique.
        documents: (C,) rows, sorted, unique.
        pairs: how many pairs they were drawn for.
    """
    query, document, grade, score = _between(store, queries, documents)
    texts, place = np.unique(np.concatenate([queries, documents]), return_inverse=True)
    # A text that answers itself is looked at twice, each time through other dropout (SimCSE).
    twins = np.unique(document[(queries[query] == documents[document]) & (grade > 0)])
    place[len(queries) + twins] = len(texts) + np.arange(len(twins))
    texts = np.concatenate([texts, documents[twins]])
    unknown = np.isnan(grade)  # excluded: as an edge it carries no more than a score
    kept = ~unknown | ~np.isnan(score)
    same = _same(store, queries, documents)
    same = same[~_among(same, query[kept], document[kept], len(documents))]
    excluded = np.concatenate([np.stack([query[unknown], document[unknown]], axis=1), same])
    edges = Edges(
        query=torch.from_numpy(query[kept]),
        document=torch.from_numpy(document[kept]),
        grade=torch.from_numpy(np.nan_to_num(grade[kept]).astype(np.float32)),
        excluded=torch.from_numpy(np.unique(excluded, axis=0)) if len(excluded) else None,
        score=torch.from_numpy(score[kept].astype(np.float32)) if store.scored else None,
    )
    return Batch(
        texts=texts,
        query=torch.from_numpy(place[: len(queries)]),
        document=torch.from_numpy(place[len(queries) :]),
        edges=edges,
        pairs=pairs,
    )


def _same(store: TokenStore, queries: Ints, documents: Ints) -> Ints:
    """Return the pairs of places where a query and a document are one text."""
    # A text may stand under two rows, once with the query's prompt and once with the other.
    names, where = np.unique(store.content[documents], return_inverse=True)
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(names) + 1))
    name = np.searchsorted(names, store.content[queries])
    found = np.flatnonzero(names[np.minimum(name, len(names) - 1)] == store.content[queries])
    pairs = [(q, d) for q in found for d in order[starts[name[q]] : starts[name[q] + 1]]]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _among(pairs: Ints, query: Ints, document: Ints, width: int) -> npt.NDArray[np.bool_]:
    return np.isin(pairs[:, 0] * width + pairs[:, 1], query * width + document)


def _between(
    store: TokenStore, queries: Ints, documents: Ints
) -> tuple[Ints, Ints, Floats, Floats]:
    """Return the known pairs of these texts: places of query and document, grade and score."""
    known = store.known
    starts, counts = known.starts[queries], known.starts[queries + 1] - known.starts[queries]
    owner = np.repeat(np.arange(len(queries)), counts)
    # Positions start, start + 1, ... of each query, without a loop over queries.
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs = np.repeat(starts, counts) + within
    target = known.document[pairs]
    place = np.minimum(np.searchsorted(documents, target), len(documents) - 1)
    here = documents[place] == target
    return owner[here], place[here], known.grade[pairs][here], known.score[pairs][here]
