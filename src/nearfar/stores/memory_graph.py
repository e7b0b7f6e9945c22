"""An approximate index of the vectors in memory: a graph of neighbours, by the library faiss.

Shapes: Q queries, R rows, K places, D dimensions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.progress import Progress
from nearfar.stores.memory_growing import Array

_NEIGHBOURS = 32  # of a vector in the graph
_LOOKED_AT_BUILDING = 100  # candidates for the neighbours of a vector
# At a search: the least, and at more places twice as many as these. Rows that may not be found
# count as well, so where a search is narrowed it looks at more.
_LOOKED_AT = 128
_ROWS_AT_ONCE = 16_384  # between two words of progress


class Graph:
    """The first rows of a table; built once, then only searched, by many threads if need be.

    The vectors in it have two bytes a number: a search finds rows by it, and takes their scores
    from the table.

    Source: Malkov and Yashunin 2018, arXiv:1603.09320 (HNSW).
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @property
    def rows(self) -> int:
        """How many rows it knows, from the first on."""
        return int(self._index.ntotal)

    def nearest(
        self, queries: Array, k: int, among: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[np.int64]:
        """Return about the k nearest rows of each query (Q, K), in no order; -1: no more found.

        Args:
            queries: (Q, D) of length 1.
            k: places to fill.
            among: of each row, whether it may be found, one at least; None: all may.
        """
        faiss = _faiss()
        options: dict[str, Any] = {"efSearch": max(_LOOKED_AT, 2 * k)}
        if among is not None:
            own = among[: self.rows]
            options["efSearch"] = int(options["efSearch"] / own.mean())
            bits = np.packbits(own, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)
        found: npt.NDArray[np.int64] = self._index.search(
            queries, min(k, self.rows), params=faiss.SearchParametersHNSW(**options)
        )[1]
        return found


def can_be_built() -> bool:
    """Return whether the library is installed."""
    try:
        _faiss()
    except ImportError:
        return False
    return True


def grown(graph: Graph | None, vectors: Array, progress: Progress) -> Graph:
    """Return a graph of all rows: a copy of one of the first of them, and the others added.

    Args:
        graph: stays as it is, for those who search it.
        vectors: (R, D) all rows, from the first on.
        progress: told after every few thousand rows.
    """
    faiss = _faiss()
    if graph is None:
        index = faiss.IndexHNSWSQ(
            vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, _NEIGHBOURS,
            faiss.METRIC_INNER_PRODUCT,
        )  # fmt: skip
        faiss.ParameterSpace().set_index_parameter(index, "efConstruction", _LOOKED_AT_BUILDING)
        index.train(vectors[:1])  # fp16 learns nothing, and wants to be told
    else:
        index = faiss.clone_index(graph._index)
    for start in range(index.ntotal, len(vectors), _ROWS_AT_ONCE):
        progress("index vectors", start, len(vectors))
        index.add(vectors[start : start + _ROWS_AT_ONCE])
    progress("index vectors", len(vectors), len(vectors))
    return Graph(index)


def _faiss() -> Any:
    import faiss

    return faiss
