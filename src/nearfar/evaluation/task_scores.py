"""What a model got in a task beyond retrieval, and two models held against each other.

Shapes: N texts or pairs, P judged pairs, D dimensions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import require
from nearfar.evaluation.cohorts import NONE
from nearfar.evaluation.embedded import unit_numbers
from nearfar.evaluation.intervals import Estimate, estimate
from nearfar.evaluation.labels import NEIGHBOURS, SEEDS
from nearfar.evaluation.measure import Measure, paired
from nearfar.evaluation.scores import Scores
from nearfar.evaluation.whole_sets import whole_estimate
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Document, Query, Role, Scalar, Split
from nearfar.vectors.similarity import pair_cosines

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Number = Callable[[Ints], float]  # of some rows of the whole, ascending

_PAIRS_AT_ONCE = 65_536
_ADDED = ("spearman_score", "pearson_score")  # what a pair adds to a correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """How tasks beyond retrieval are measured."""

    neighbours: int = NEIGHBOURS  # labels: how many vote
    seeds: tuple[int, ...] = SEEDS  # clustering: of k-means, each a clustering of its own
    clustered_texts: int = 10_000  # clustering: of more, a part chosen by the hash of their ids

    def __post_init__(self) -> None:
        require(self.neighbours >= 1, "tasks.neighbours", "1 or more", self.neighbours)
        require(len(self.seeds) >= 1, "tasks.seeds", "one or more", list(self.seeds))
        texts = self.clustered_texts
        require(texts >= 2, "tasks.clustered_texts", "2 or more", texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who is asked, about what."""

    encoder: Encoder
    dataset: Dataset
    split: Split
    settings: TaskSettings = field(default_factory=TaskSettings)
    progress: Progress = silent

    def encode(self, contents: Sequence[str], role: Role) -> Float[Tensor, "N D"]:
        """Return a unit vector of each text.

        Raises:
            BadModel: one of them holds what is no number.
        """
        vectors = self.encoder.encode(contents, role, progress=self.progress)
        return unit_numbers(vectors, contents)

    def cosines(
        self,
        queries: Mapping[str, Query],
        documents: Mapping[str, Document],
        query: Ints,
        document: Ints,
    ) -> Floats:
        """Return the cosine of each pair of places of a query and of a document."""
        one = self.encode([text.content for text in queries.values()], "query")
        other = self.encode([text.content for text in documents.values()], "document")
        rows, columns = torch.from_numpy(query), torch.from_numpy(document)
        found = [
            pair_cosines(one, other, some, those)
            for some, those in zip(
                torch.split(rows, _PAIRS_AT_ONCE),
                torch.split(columns, _PAIRS_AT_ONCE),
                strict=True,
            )
        ]
        cosines: Floats = torch.cat(found).double().numpy()
        return cosines


@dataclass(frozen=True, slots=True)
class Band:
    """The pairs whose likeness lies between two numbers: what it says of them, and what is true."""

    low: float
    high: float
    said: float  # the mean likeness, 0 to 1
    true: Estimate  # the share that belong together; of degrees, their mean


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScores:
    """One model in one task."""

    task: str
    scores: Scores  # of each text or pair; no values where only the whole has a number
    numbers: Mapping[str, Number] = field(default_factory=dict)  # of rows of the scores
    variances: Mapping[str, float] = field(default_factory=dict)  # what dice add to a number
    facts: Mapping[str, Scalar] = field(default_factory=dict)  # thresholds, labels, ...
    bands: tuple[Band, ...] = ()  # of a likeness
    beside: Callable[[Path], None] | None = None  # writes what else stands beside the scores


def scores_of(
    asking: Asking,
    pairs: Sequence[tuple[Query, Document | None]],
    values: Mapping[str, Floats],
    *,
    documents: int,
    ids: Sequence[str] | None = None,
) -> Scores:
    """Return values with what they are of: ids, clusters, and the cohorts of both texts.

    Clusters are those of `clusters_of_pairs`.

    Args:
        asking: whose values they are.
        pairs: of each value, who asked, and for what.
        values: of each metric.
        documents: how many could be found.
        ids: of each value; None: those of the queries.
    """
    space = asking.encoder.space
    cohorts: dict[str, tuple[str, ...]] = {}
    both = [(query.fields, document.fields if document else {}) for query, document in pairs]
    for role, fields in zip(("query", "document"), zip(*both, strict=True), strict=True):
        for name in sorted({name for own in fields for name in own}):
            cohorts[f"{role}.{name}"] = tuple(str(own.get(name, NONE)) for own in fields)
    return Scores(
        system=space.fingerprint,
        space=space.to_json(),
        dataset=asking.dataset.digest,
        split=asking.split,
        documents=documents,
        queries=tuple(ids or (query.id for query, _ in pairs)),
        clusters=clusters_of_pairs(pairs),
        cohorts=cohorts,
        values=values,
    )  # fmt: skip


def clusters_of_pairs(pairs: Sequence[tuple[Query, Document | None]]) -> tuple[str, ...]:
    """Return what each pair hangs together with: the query's group, else its first document's.

    Without groups it is the query. All pairs of one query are in one cluster, of whatever groups
    their documents are.
    """
    own: dict[str, str] = {}
    return tuple(
        query.group or own.setdefault(query.id, (other.group if other else "") or query.id)
        for query, other in pairs
    )


def compare_tasks(base: TaskScores, tuned: TaskScores | None = None) -> tuple[Measure, ...]:
    """Return all numbers of one model, or of two on the same texts, with their intervals.

    Raises:
        ValueError: the two were not asked the same.
    """
    old, new = base.scores, tuned.scores if tuned else None
    if new is not None and (old.queries, old.dataset) != (new.queries, new.dataset):
        raise ValueError("two models can be compared on the same texts alone.")
    found = []
    for name, values in old.values.items():
        span = _span(name, values, None if new is None else new.values[name])
        if new is None:
            found.append(Measure(name=name, base=estimate(values, old.clusters, span=span)))
        else:
            found.append(paired(name, values, new.values[name], old.clusters, span=span))
    return (*found, *(_whole(name, base, tuned) for name in base.numbers))


def _span(name: str, one: Floats, other: Floats | None) -> tuple[float, float]:
    """Return the least and the most a value can be."""
    if name not in _ADDED:
        return 0.0, 1.0
    # What a pair adds has no bound; one that was not seen may be as far off as the worst that was.
    both = one if other is None else np.concatenate([one, other])
    return min(-1.0, float(both.min())), max(1.0, float(both.max()))


def _whole(name: str, base: TaskScores, tuned: TaskScores | None) -> Measure:
    clusters = base.scores.clusters
    before, dice = base.numbers[name], base.variances.get(name, 0.0)
    first = whole_estimate(before, clusters, variance=dice)
    if tuned is None:
        return Measure(name=name, base=first)
    after, others = tuned.numbers[name], tuned.variances.get(name, 0.0)
    change = whole_estimate(
        lambda rows: after(rows) - before(rows), clusters, span=(-1.0, 1.0), variance=dice + others
    )
    return Measure(
        name=name, base=first, tuned=whole_estimate(after, clusters, variance=others),
        difference=change,
    )  # fmt: skip
