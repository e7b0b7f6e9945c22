"""Does the right answer lie closer than the wrong one? Counted over a query's triplets.

Shapes: T triplets, Q queries.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def triplet_accuracy(
    right: Floats, wrong: Floats, query: npt.NDArray[np.int64], queries: int
) -> Floats:
    """Return, of each query, the share of its triplets where the answer is strictly closer.

    Args:
        right: (T,) cosine of the query with its answer.
        wrong: (T,) cosine of the query with a document that was judged no answer.
        query: (T,) place of the query, 0 to Q - 1.
        queries: Q; each has one triplet or more.

    Returns:
        (Q,) 0 to 1, up is good. Equals are wrong: a model that puts every text in one place
        tells nothing apart.

    Raises:
        ValueError: a query has no triplet.

    Source: as TripletEvaluator of sentence-transformers counts (cosine, margin 0), but a query
        counts once, however many negatives it has.
    """
    counts = np.bincount(query, minlength=queries)
    if (counts == 0).any():
        raise ValueError(f"query {int(np.flatnonzero(counts == 0)[0])} has no triplet.")
    found: Floats = np.bincount(query, weights=right > wrong, minlength=queries) / counts
    return found
