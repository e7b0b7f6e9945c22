"""What is known between the texts of a training run, settled once from all judgments.

Shapes: J judgments, K known pairs, R rows of the token store.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """Known pairs in order of their query row, as in a sparse matrix.

    grade: above 0, an answer to learn; 0, judged and no answer; NaN, excluded: neither to be
        learned nor to be pushed away. Where a teacher scored it, its score may be learned.
    """

    starts: Ints  # (R + 1,): the pairs of query row r are starts[r] to starts[r + 1]
    document: Ints  # (K,)
    grade: Floats  # (K,)
    query: Ints  # (K,)
    score: Floats  # (K,) a teacher's; NaN: none
    hardness: Floats  # (K,) of mined negatives, the miner's score; NaN, last: unknown

    @property
    def answers(self) -> Ints:
        """Which pairs are there to be learned."""
        return np.flatnonzero(self.grade > 0)


def settle(
    queries: Ints,
    documents: Ints,
    grades: Floats,
    train: npt.NDArray[np.bool_],
    *,
    rows: int,
    scores: Floats | None = None,
    hardness: Floats | None = None,
) -> Known:
    """Return what training may take as known, one entry for each pair of rows.

    A pair that is positive outside the train split is excluded, also if it is in the train
    split too: learning it would leak. So is a pair judged both an answer and none.

    Args:
        queries: (J,) rows of the queries; equal texts have equal rows.
        documents: (J,) rows of the documents.
        grades: (J,) 0 or more.
        train: (J,) whether the judgment is of the train split.
        rows: R, how many rows there are.
        scores: (J,) a teacher's; NaN for none. Of several for one pair the mean counts.
        hardness: (J,) of mined negatives; NaN for none. Of several the mean counts too.
    """
    order = np.lexsort((documents, queries))
    queries, documents = queries[order], documents[order]
    grades, train = grades[order], train[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(queries) != 0) | (np.diff(documents) != 0)
    first = np.flatnonzero(new)

    positive = np.logical_or.reduceat(grades > 0, first)
    zero = np.logical_or.reduceat(grades == 0, first)
    learnt = np.logical_or.reduceat(train, first)
    leaks = np.logical_or.reduceat(~train & (grades > 0), first)
    best = np.maximum.reduceat(np.where(train, np.nan_to_num(grades), 0.0), first)
    unsaid = ~(positive | zero)  # a teacher scored it, and nobody judged it
    excluded = leaks | (positive & zero) | (unsaid & learnt)
    kept = learnt | excluded  # a zero of another split alone says nothing here

    query = queries[first][kept]
    return Known(
        starts=np.searchsorted(query, np.arange(rows + 1)).astype(np.int64),
        document=documents[first][kept],
        grade=np.where(excluded, np.nan, best)[kept],
        query=query,
        # To learn the score of what is measured would leak too.
        score=np.where(leaks, np.nan, _means(scores, order, train, first))[kept],
        hardness=_means(hardness, order, train, first)[kept],
    )


def _means(
    numbers: Floats | None, order: Ints, train: npt.NDArray[np.bool_], first: Ints
) -> Floats:
    """Return the mean of the numbers of each pair that the train split gives; NaN without any."""
    if numbers is None:
        return np.full(len(first), np.nan)
    numbers = numbers[order]
    given = train & ~np.isnan(numbers)
    total = np.add.reduceat(np.where(given, numbers, 0.0), first)
    times = np.add.reduceat(given.astype(np.int64), first)
    means: Floats = np.divide(total, times, out=np.full(len(first), np.nan), where=times > 0)
    return means
