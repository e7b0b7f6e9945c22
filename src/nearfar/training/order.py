"""In which order a pass meets its pairs: a function of the seed and the pass alone.

Shapes: P pairs of a pass.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Order:
    """How the pairs of a pass are put into batches."""

    document: Ints  # (P,) of each pair
    size: int  # pairs of a batch
    queries_per_document: int  # that come one after the other, so that it is encoded once
    group: Ints | None = None  # (P,) batches hold pairs of one group only
    difficulty: Floats | None = None  # (P,) the first pass leans to what is easy
    seed: int = 0

    @property
    def steps(self) -> int:
        """How many batches a pass has."""
        if self.group is None:
            # The last few pairs that fill no batch come early or late in the next pass.
            return len(self.document) // self.size
        counts = np.unique(self.group, return_counts=True)[1]
        return int((-(-counts // self.size)).sum())

    def batches(self, epoch: int) -> list[Ints]:
        """Return the places of the pairs of each batch of a pass."""
        dice = np.random.default_rng([self.seed, epoch])
        pairs = self._shuffled(dice, epoch)
        if self.group is None:
            return [pairs[i * self.size : (i + 1) * self.size] for i in range(self.steps)]
        # Each group is cut by itself, evenly, so that no batch is much smaller than others.
        pairs = pairs[np.argsort(self.group[pairs], kind="stable")]
        ends = np.flatnonzero(np.diff(self.group[pairs], prepend=-1, append=-1))
        found = []
        for start, stop in pairwise(ends):
            parts = -(-(stop - start) // self.size)
            found += np.array_split(pairs[start:stop], parts)
        return [found[i] for i in dice.permutation(len(found))]

    def _shuffled(self, dice: np.random.Generator, epoch: int) -> Ints:
        count = len(self.document)
        if self.queries_per_document > 1:
            return self._by_document(dice)
        if self.difficulty is not None and epoch == 0:
            rank = np.argsort(np.argsort(self.difficulty, kind="stable"))
            return np.argsort(rank / count + dice.random(count)).astype(np.int64)
        return dice.permutation(count)

    def _by_document(self, dice: np.random.Generator) -> Ints:
        """Return all pairs, some of one document at a time."""
        pairs = dice.permutation(len(self.document))
        pairs = pairs[np.argsort(self.document[pairs], kind="stable")]
        document = self.document[pairs]
        starts = np.flatnonzero(np.diff(document, prepend=-1))
        place = np.arange(len(pairs)) - np.repeat(starts, np.diff(starts, append=len(pairs)))
        lump = np.cumsum(place % self.queries_per_document == 0) - 1
        key = dice.random(lump[-1] + 1)[lump]
        return pairs[np.argsort(key, kind="stable")]
