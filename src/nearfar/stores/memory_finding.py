"""Search in memory: exact, or by a graph; equal scores stand in the order of their ids.

Scores of whole blocks find who may be among the best. Who is, is then decided by scores of
float64: products of blocks differ in their last bits by the place of a row, and then equals
would not be equal.

Shapes: Q queries, C documents, R rows (one a piece of a document), D dimensions, K places.
"""

import heapq

import numpy as np
import numpy.typing as npt
import torch

from nearfar.stores.contract import Found
from nearfar.stores.filters import Where
from nearfar.stores.memory_fields import Truths
from nearfar.stores.memory_growing import Array
from nearfar.stores.memory_table import View
from nearfar.vectors.nearest import nearest

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-5  # more than float32 moves a cosine: 4e-7 at 4,096 dimensions
_SPARE = 16  # rows looked at beyond k: most ties are settled by them
# To pick rows costs a copy of each: while most may be found, all are scored and others left out.
_MOST = 0.5
# Among few rows a graph loses its way, and to look at each of them is cheaper as well.
_GRAPH_SHARE = 0.1
_ROWS_AT_ONCE = 65_536  # that stand in memory as float64


def exact(view: View, queries: Array, k: int, where: Where) -> list[list[Found]]:
    """Return of each query the k nearest documents of those that match.

    Args:
        view: what is searched.
        queries: (Q, D) float32, of length 1.
        k: 1 or more.
        where: checked conditions.
    """
    return _exact(view, queries, k, _allowed(view, where))


def approximate(view: View, queries: Array, k: int, where: Where) -> list[list[Found]]:
    """Return of each query about the k nearest of those that match, and never fewer; as `exact`."""
    allowed, graph = _allowed(view, where), view.graph
    if graph is None or allowed[: graph.rows].mean() < _GRAPH_SHARE:
        return _exact(view, queries, k, allowed)
    places = _places(view, k)
    near = graph.nearest(queries, places, None if allowed.all() else allowed)
    rest = np.flatnonzero(allowed[graph.rows :]) + graph.rows  # what came later
    if len(rest):
        near = np.concatenate([near, _nearest(view, queries, places, rest)[1]], axis=1)
    wanted = min(k, int(np.count_nonzero(allowed[view.starts])))  # all rows of one are, or none
    hits = []
    for at, (query, rows) in enumerate(zip(queries, near, strict=True)):
        best = _best(view, query, _with_siblings(view, rows[rows >= 0]), k)
        enough = len(best) >= wanted
        hits.append(best if enough else _exact(view, queries[at : at + 1], k, allowed)[0])
    return hits


def worded(view: View, query: str, k: int, where: Where) -> list[Found]:
    """Return the k documents whose words say most, of those that match."""
    scores = view.words.scores(query, view.alive) * view.documents_among(where)
    documents = np.flatnonzero(scores)
    return _first(view, documents, scores[documents], np.zeros_like(documents), k)


def _allowed(view: View, where: Where) -> Truths:
    """Return of each row whether it may be found."""
    if not where:
        return view.rows_alive
    documents = view.documents_among(where)
    return documents if len(view.owners) == len(documents) else documents[view.owners]


def _exact(view: View, queries: Array, k: int, allowed: Truths) -> list[list[Found]]:
    share = float(allowed.mean()) if len(allowed) else 1.0
    chosen = None if share > _MOST else np.flatnonzero(allowed)
    total = len(allowed) if chosen is None else len(chosen)
    # Among these the k best are likely, though some of them are left out.
    places = min(total, _places(view, k) if share == 1 else 2 * _places(view, k))
    scores, near = _nearest(view, queries, max(places, 1), chosen)
    hits = []
    for query, of_rows, rows in zip(queries, scores, near, strict=True):
        best = _best(view, query, rows[allowed[rows]], k)
        # What was not among the rows scores no more than the last: is the k-th surely above?
        sure = len(best) == k and best[-1].score > of_rows[-1] + _ROUNDING
        hits.append(best if sure or places == total else _among_all(view, query, k, allowed))
    return hits


def _with_siblings(view: View, rows: Ints) -> Ints:
    """Return all rows of the documents of some: a graph may have missed the best of them."""
    documents = np.unique(view.owners[rows])
    if len(view.owners) == len(view.starts):
        return documents  # each has one row, of its own number
    ends = np.append(view.starts[1:], len(view.owners))[documents]
    lengths = ends - view.starts[documents]
    before = np.cumsum(lengths) - lengths
    return np.repeat(view.starts[documents] - before, lengths) + np.arange(lengths.sum())


def _places(view: View, k: int) -> int:
    """Return how many rows hold k documents, if none has more pieces than the mean."""
    return k * -(-len(view.owners) // max(len(view.starts), 1)) + _SPARE


def _nearest(
    view: View, queries: Array, places: int, among: Ints | None
) -> tuple[Array, npt.NDArray[np.int64]]:
    scores, rows = nearest(
        torch.from_numpy(queries),
        torch.from_numpy(view.vectors),
        places,
        among=None if among is None else torch.from_numpy(among),
    )
    return scores.numpy(), rows.numpy()


def _among_all(view: View, query: Array, k: int, allowed: Truths) -> list[Found]:
    """Return the k nearest, where so many are near the k-th that each must be looked at."""
    rows = np.flatnonzero(allowed)
    if not len(rows):
        return []
    scores = (view.vectors @ query)[rows]
    owners = view.owners[rows]
    first = np.flatnonzero(np.diff(owners, prepend=-1))  # rows of one document stand together
    of_documents = np.maximum.reduceat(scores, first)
    if len(of_documents) > k:
        last = np.partition(of_documents, -k)[-k]
        rows = rows[scores >= last - 2 * _ROUNDING]
    return _best(view, query, rows, k)


def _best(view: View, query: Array, rows: Ints, k: int) -> list[Found]:
    """Return the k best documents of those that the rows belong to, each by its best row."""
    scores = _scores(view, query, rows)
    owners = view.owners[rows]
    # Row by row in each document, the best first: what comes first is kept.
    order = np.lexsort((rows, -scores, owners))
    documents, at = np.unique(owners[order], return_index=True)
    best = order[at]
    return _first(view, documents, scores[best], rows[best] - view.starts[documents], k)


def _scores(view: View, query: Array, rows: Ints) -> Floats:
    """Return the cosines of some rows as exactly as float32 says them, wherever they stand."""
    wide = query.astype(np.float64)
    parts = [
        (view.vectors[rows[start : start + _ROWS_AT_ONCE]] * wide).sum(axis=1)
        for start in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    return np.concatenate([np.empty(0), *parts]).astype(np.float32).astype(np.float64)


def _first(view: View, documents: Ints, scores: Floats, pieces: Ints, k: int) -> list[Found]:
    """Return the k highest of some documents; of equals those whose ids come first."""
    if len(documents) > k:
        last = np.partition(scores, -k)[-k]
        above, equal = np.flatnonzero(scores > last), np.flatnonzero(scores == last)
        fill = heapq.nsmallest(
            k - len(above), equal.tolist(), key=lambda at: view.ids[int(documents[at])]
        )
        chosen = [*above.tolist(), *fill]
        documents, scores, pieces = documents[chosen], scores[chosen], pieces[chosen]
    found = [
        Found(view.ids[document], score, piece)
        for document, score, piece in zip(
            documents.tolist(), scores.tolist(), pieces.tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda hit: (-hit.score, hit.id))
