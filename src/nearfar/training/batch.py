"""A batch: unique texts and every edge between them, a function of seed and step alone.

Shapes: T unique texts, Q queries, C documents, E edges.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from nearfar.losses import Edges
from nearfar.training.settings import Training
from nearfar.training.store import TokenStore

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """A small bipartite graph."""

    texts: Ints  # (T,) rows of the token store, each encoded once
    query: Int[Tensor, " Q"]  # places among the texts
    document: Int[Tensor, " C"]  # places among the texts
    edges: Edges
    pairs: int  # how many pairs were drawn


@dataclass(slots=True)
class Batches:
    """The batches of a run: any of them can be had at once, so going on later costs nothing."""

    store: TokenStore
    settings: Training
    _answers: Ints = field(init=False, repr=False)
    _order: tuple[int, Ints] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._answers = self.store.known.answers

    @property
    def pairs(self) -> int:
        """How many pairs there are to learn."""
        return len(self._answers)

    @property
    def steps(self) -> int:
        """How many batches the run has."""
        return self.settings.steps(self.pairs)

    def __getitem__(self, step: int) -> Batch:
        size = min(self.settings.pairs_per_step, self.pairs)
        # The last few pairs of a pass that fill no batch come early or late in the next one.
        epoch, place = divmod(step, self.pairs // size)
        drawn = self._epoch(epoch)[place * size : (place + 1) * size]
        known = self.store.known
        queries = np.unique(known.query[drawn])
        documents = np.concatenate([known.document[drawn], self._negatives(drawn, step)])
        return make_batch(self.store, queries, np.unique(documents), pairs=size)

    def _epoch(self, epoch: int) -> Ints:
        if self._order is None or self._order[0] != epoch:
            dice = np.random.default_rng([self.settings.seed, epoch])
            self._order = (epoch, dice.permutation(self._answers))
        return self._order[1]

    def _negatives(self, drawn: Ints, step: int) -> Ints:
        """Return a few judged negatives of each drawn query."""
        count = self.settings.negatives_per_pair
        if not count:
            return np.empty(0, dtype=np.int64)
        known = self.store.known
        dice = np.random.default_rng([self.settings.seed, step, 1])
        found = []
        for query in known.query[drawn]:
            pairs = slice(known.starts[query], known.starts[query + 1])
            judged = known.document[pairs][known.grade[pairs] == 0]
            found.append(dice.permutation(judged)[:count])
        return np.concatenate(found)


def make_batch(store: TokenStore, queries: Ints, documents: Ints, *, pairs: int) -> Batch:
    """Return the graph of some texts: all that is known between them, however they came in.

    Args:
        store: the texts and what is known.
        queries: (Q,) rows, sorted, unique.
        documents: (C,) rows, sorted, unique.
        pairs: how many pairs they were drawn for.
    """
    texts, place = np.unique(np.concatenate([queries, documents]), return_inverse=True)
    query, document, grade = _between(store, queries, documents)
    excluded = store.content[queries][:, None] == store.content[documents][None, :]  # (Q, C)
    unknown = np.isnan(grade)
    excluded[query[unknown], document[unknown]] = True
    edges = Edges(
        query=torch.from_numpy(query[~unknown]),
        document=torch.from_numpy(document[~unknown]),
        grade=torch.from_numpy(grade[~unknown].astype(np.float32)),
        excluded=torch.from_numpy(excluded) if excluded.any() else None,
    )
    return Batch(
        texts=texts,
        query=torch.from_numpy(place[: len(queries)]),
        document=torch.from_numpy(place[len(queries) :]),
        edges=edges,
        pairs=pairs,
    )


def _between(
    store: TokenStore, queries: Ints, documents: Ints
) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Return the known pairs of these texts: place of the query, of the document, and grade."""
    known = store.known
    starts, counts = known.starts[queries], known.starts[queries + 1] - known.starts[queries]
    owner = np.repeat(np.arange(len(queries)), counts)
    # Positions start, start + 1, ... of each query, without a loop over queries.
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs = np.repeat(starts, counts) + within
    target = known.document[pairs]
    place = np.minimum(np.searchsorted(documents, target), len(documents) - 1)
    here = documents[place] == target
    return owner[here], place[here], known.grade[pairs][here]
