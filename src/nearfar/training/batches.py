"""The batches of a dataset: any of them can be had at once, so going on later costs nothing."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from nearfar.errors import BadSetting
from nearfar.training.batch import Batch, make_batch
from nearfar.training.known import Known
from nearfar.training.order import Floats, Order
from nearfar.training.settings import Training
from nearfar.training.store import TokenStore
from nearfar.training.strangers import with_strangers

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Batches:
    """A function of the seed and the step: each pair once a pass, in another order each time."""

    store: TokenStore
    settings: Training
    every_judgment: bool = False  # judged negatives are drawn too, as pairs of their own
    scored: bool = False  # each query with its scored documents: for losses of a teacher's lists
    pairs_per_step: int | None = None  # None: as the settings say
    groups: Ints | None = None  # of each row: batches hold queries of one group only
    difficulty: Floats | None = None  # of each known pair: the first pass leans to what is easy
    teacher: npt.NDArray[np.float32] | None = None  # vectors of the rows in another space
    negatives_unless_said: int = 1  # judged ones that join with a pair, where there are any
    strangers: int = 0  # unjudged documents of the batch that each query has as wrong answers
    fill_up: bool = False  # strangers: as many as are lacking beside the judged ones
    _pairs: Ints = field(init=False, repr=False)  # which known pairs are drawn
    _order: Order = field(init=False, repr=False)
    _negatives_per_pair: int = field(init=False, repr=False)
    _may_join: npt.NDArray[np.bool_] = field(init=False, repr=False)  # beside an answer
    _pass: tuple[int, list[Ints]] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        known = self.store.known
        if self.scored:
            self._pairs, self._may_join = _best_scored(known), ~np.isnan(known.score)
        else:
            drawn = ~np.isnan(known.grade) if self.every_judgment else known.grade > 0
            self._pairs, self._may_join = np.flatnonzero(drawn), known.grade == 0
        together = self.settings.queries_per_document > 1 or self.groups is not None
        if self.difficulty is not None and together:
            raise BadSetting(
                "a curriculum orders single pairs: it cannot be had together with "
                "training.queries_per_document or training.together_by. Leave one of them out."
            )
        self._order = Order(
            document=known.document[self._pairs],
            size=min(self.pairs_per_step or self.settings.pairs_per_step, self.pairs),
            queries_per_document=self.settings.queries_per_document,
            group=None if self.groups is None else self.groups[known.query[self._pairs]],
            difficulty=None if self.difficulty is None else self.difficulty[self._pairs],
            seed=self.settings.seed,
        )
        asked = self.settings.negatives_per_pair
        join = not self.every_judgment and bool(self._may_join.any())
        unless_said = self.negatives_unless_said if join else 0
        self._negatives_per_pair = unless_said if asked is None else asked

    @property
    def pairs(self) -> int:
        """How many pairs there are to learn."""
        return len(self._pairs)

    @property
    def difficulty_digest(self) -> str | None:
        """Return what tells one curriculum from another."""
        if self.difficulty is None:
            return None
        return hashlib.sha256(np.ascontiguousarray(self.difficulty).data).hexdigest()[:16]

    @property
    def steps(self) -> int:
        """How many batches the run has."""
        return self.settings.steps(self.pairs, self._order.size, self._order.steps)

    def __getitem__(self, step: int) -> Batch:
        epoch, place = divmod(step, self._order.steps)
        if self._pass is None or self._pass[0] != epoch:
            self._pass = (epoch, self._order.batches(epoch))
        drawn = self._pairs[self._pass[1][place]]
        known = self.store.known
        queries = np.unique(known.query[drawn])
        documents = np.concatenate([known.document[drawn], *self._negatives(drawn, step)])
        batch = make_batch(self.store, queries, np.unique(documents), pairs=len(drawn))
        if self.strangers:
            dice = np.random.default_rng([self.settings.seed, step, 3])
            batch = with_strangers(batch, self.strangers, dice, fill_up=self.fill_up)
        return batch if self.teacher is None else _taught(batch, self.teacher)

    def _negatives(self, drawn: Ints, step: int) -> Iterator[Ints]:
        """Yield a few judged negatives of each drawn query."""
        count, known = self._negatives_per_pair, self.store.known
        if not count:
            return
        dice = np.random.default_rng([self.settings.seed, step, 1])
        progress = step / max(self.steps - 1, 1)
        taken = set(drawn.tolist()) if self.scored else set()
        for query in known.query[drawn]:
            pairs = np.arange(known.starts[query], known.starts[query + 1])
            judged = pairs[self._may_join[pairs]]
            judged = judged[[pair not in taken for pair in judged.tolist()]]
            if self.settings.negatives_order == "easy to hard":
                judged = _window(judged[np.argsort(known.hardness[judged])], count, progress)
            yield known.document[dice.permutation(judged)[:count]]


def _best_scored(known: Known) -> Ints:
    """Return of each query that a teacher scored documents of the one with the highest score."""
    order = np.lexsort((known.score, known.query))  # NaN last
    order = order[~np.isnan(known.score[order])]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = known.query[order][1:] != known.query[order][:-1]
    return np.sort(order[last])


def _window(judged: Ints, count: int, progress: float) -> Ints:
    """Return those whose turn it is: the easiest at the start of a run, the hardest at its end."""
    first = round(progress * max(len(judged) - count, 0))
    return judged[first : first + count]


def _taught(batch: Batch, teacher: npt.NDArray[np.float32]) -> Batch:
    vectors = torch.from_numpy(teacher[batch.texts])
    both = (vectors[batch.query], vectors[batch.document])
    return replace(batch, edges=replace(batch.edges, teacher=both))
