"""Nearest vectors and best words in a Lance table: never fewer than asked for, each document once.

Shapes: D dimensions, Q queries, R rows that the library returns for one of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from nearfar.stores.contract import Found

VECTORS = "vectors"  # what the approximate index is called
_REFINE = 4  # of so many times k the full vectors are looked at
_QUERIES_PER_SCAN = 32
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Graph:
    """The approximate index of a table, as far as a search asks."""

    partitions: int
    of_graphs: bool  # HNSW, on vectors of one byte a number


@dataclass(frozen=True, slots=True)
class Asked:
    """One search: where, for how many documents, and narrowed by what."""

    dataset: Any
    k: int
    clause: str | None
    rows_per_document: float  # of the table, on average


def nearest(asked: Asked, vectors: Float[Tensor, "Q D"], graph: Graph | None) -> list[list[Found]]:
    """Return of each query the k documents with the highest cosine, best first.

    Args:
        asked: the table, and how many.
        vectors: of length 1.
        graph: the approximate index; None: every vector is looked at.
    """
    queries = vectors.detach().cpu().float().contiguous().numpy()
    found: list[list[Found]] = []
    for start in range(0, len(queries), _QUERIES_PER_SCAN):
        block = queries[start : start + _QUERIES_PER_SCAN]
        found += _by_graph(asked, block, graph) if graph else _exact(asked, block)
    return found


def worded(asked: Asked, query: str) -> list[Found]:
    """Return the k documents whose words say most by BM25, best first.

    Args:
        asked: the table, and how many.
        query: words with a space between; "" finds nothing.
    """
    if not query:
        return []
    from lance.query import MatchQuery

    table = asked.dataset.to_table(
        columns=["id", "_score"],
        full_text_query=MatchQuery(query, "words"),
        filter=asked.clause,
        prefilter=True,
        limit=asked.k,
        disable_scoring_autoprojection=True,
    )
    hits = zip(table["id"].to_pylist(), table["_score"].to_pylist(), strict=True)
    return [Found(id_, score) for id_, score in sorted(hits, key=lambda hit: (-hit[1], hit[0]))]


def _by_graph(asked: Asked, queries: _Floats, graph: Graph) -> list[list[Found]]:
    """Ask the index; where it found too few documents, look at every vector."""
    rows = _rows_for(asked.k, asked)
    found = []
    for query, (answer, returned) in zip(queries, _ask(asked, queries, rows, graph), strict=True):
        hits, wanted = answer, rows
        while len(hits) < asked.k and returned == wanted:  # crowded out by pieces of a few
            wanted *= 4
            [(hits, returned)] = _ask(asked, query[None], wanted, graph)
        # Too few, of all that match: the graph may have ended early.
        found.append(hits[: asked.k] if len(hits) >= asked.k else _exact(asked, query[None])[0])
    return found


def _exact(asked: Asked, queries: _Floats) -> list[list[Found]]:
    """Look at every vector that matches, and at more rows until no equal is left out."""
    rows = _rows_for(asked.k + 1, asked)
    found = []
    for query, (answer, returned) in zip(queries, _ask(asked, queries, rows, None), strict=True):
        hits, wanted = answer, rows
        while returned == wanted and not _settled(hits, asked.k):
            wanted *= 4
            [(hits, returned)] = _ask(asked, query[None], wanted, None)
        found.append(hits[: asked.k])
    return found


def _settled(hits: Sequence[Found], k: int) -> bool:
    """Return whether the k best are better than the worst that was seen, and so all are known."""
    return len(hits) > k and hits[k - 1].score > hits[-1].score


def _rows_for(documents: int, asked: Asked) -> int:
    return max(1, round(documents * asked.rows_per_document))


def _ask(
    asked: Asked, queries: _Floats, rows: int, graph: Graph | None
) -> list[tuple[list[Found], int]]:
    """Return of each query its documents, and how many rows they came from."""
    several = len(queries) > 1
    table = asked.dataset.to_table(
        columns=["id", "piece", "_distance"] + ["query_index"] * several,
        nearest={
            "column": "vector",
            "q": queries if several else queries[0],
            "k": rows,
            **(_through(graph, rows) if graph else {"use_index": False, "metric": "dot"}),
        },
        filter=asked.clause,
        prefilter=True,
        disable_scoring_autoprojection=True,
    )
    whose = table["query_index"].to_numpy() if several else np.zeros(len(table), np.int32)
    return [
        (_documents(part := table.filter(pa.array(whose == at)) if several else table), len(part))
        for at in range(len(queries))
    ]


def _through(graph: Graph, rows: int) -> dict[str, Any]:
    """Return how much of the index is looked at: more costs time, less costs recall."""
    if not graph.of_graphs:
        # A third of the parts: of 20,000 vectors in 300 clusters, 141 parts, an eighth found 0.925
        # of the ten nearest, a quarter 0.98.
        return {"metric": "cosine", "minimum_nprobes": max(20, graph.partitions // 3)}
    return {
        "metric": "cosine",
        "minimum_nprobes": 20,
        "refine_factor": _REFINE,
        "ef": max(256, 2 * _REFINE * rows),
    }


def _documents(table: pa.Table) -> list[Found]:
    """Return each document once, by its best piece; equals in the order of their ids."""
    best: dict[str, Found] = {}
    rows: Iterable[tuple[str, int, float]] = zip(
        table["id"].to_pylist(),
        table["piece"].to_pylist(),
        (1 - table["_distance"].to_numpy()).tolist(),
        strict=True,
    )
    for id_, piece, score in rows:
        held = best.get(id_)
        if held is None or (score, -piece) > (held.score, -held.piece):
            best[id_] = Found(id_, score, piece)
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.id))
