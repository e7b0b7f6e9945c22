"""How many labelled queries each cohort has, needs, and lacks.

Shapes: N labelled queries, in the order of `Divided.ids`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadSetting, DataMismatch, require
from nearfar.evaluation.scores import Scores
from nearfar.release.integrity import require_comparable, require_numbers
from nearfar.release.policy import ALL, Change, Policy, named
from nearfar.release.sizes import deviation_of, effect_of, queries_for

Floats = npt.NDArray[np.float64]
Known = Literal["measured", "of all queries", "assumed"]

ASSUMED = 0.3  # deviation of the differences of nDCG@10; .2 is usual of two alike models


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """Queries with their cohorts."""

    ids: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]  # of each field, the value of each query


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One metric on one cohort."""

    metric: str
    cohort: str  # "query.language = de"
    labelled: int  # queries with an answer
    deviation: float  # of the differences from query to query (sigma_d)
    known: Known
    rules_out: float | None  # the smallest loss that so many can rule out; None: too few for any
    effect: float  # the loss that matters
    needed: int  # queries that rule it out

    @property
    def missing(self) -> int:
        """Return how many are to be labelled."""
        return max(self.needed - self.labelled, 0)


class Differences:
    """Candidate less baseline, query by query, or what is assumed of it where nothing is known."""

    def __init__(
        self, policy: Policy, results: tuple[Scores, Scores] | None, assumed: float
    ) -> None:
        """Check that two results can be compared.

        Raises:
            BadSetting: what is assumed is no deviation.
            DataMismatch: the results do not measure the same thing.
        """
        holds = 0 < assumed <= 1
        require(holds, "--deviation", "above 0 and at most 1 (usual is 0.2 to 0.3)", assumed)
        self._assumed, self._fewest = assumed, policy.fewest
        self._found: dict[str, Floats] = {}
        self._row_of: dict[str, int] = {}
        if results is None:
            return
        candidate, baseline = results
        metrics = [rule.metric for rule in policy.changes]
        for one in results:
            require_numbers(one, metrics)
        require_comparable(candidate, baseline, policy)
        self._row_of = {query: row for row, query in enumerate(candidate.queries)}
        at = {query: row for row, query in enumerate(baseline.queries)}
        theirs = np.array([at[query] for query in candidate.queries])
        self._clusters = np.unique(np.array(candidate.clusters), return_inverse=True)[1]
        for name in metrics:
            self._found[name] = candidate.values[name] - baseline.values[name][theirs]

    def require_of(self, ids: Sequence[str]) -> None:
        """Raise DataMismatch if results are there, and none of them is of these queries."""
        if self._found and ids and not any(query in self._row_of for query in ids):
            raise DataMismatch(
                "Expected results of the queries of this dataset and split, found none of "
                f"{len(ids):,}, such as {ids[0]!r}. Measure both systems on this dataset."
            )

    def deviation(self, metric: str, ids: Sequence[str]) -> tuple[float, Known]:
        """Return the deviation among some queries; of too few, that among all.

        Where all are too few it is assumed: ten queries without a difference promise nothing.
        """
        if metric not in self._found or len(self._clusters) < self._fewest:
            return self._assumed, "assumed"
        rows = np.array([self._row_of[i] for i in ids if i in self._row_of], dtype=np.int64)
        if len(rows) >= self._fewest and len(np.unique(self._clusters[rows])) > 1:
            return deviation_of(self._found[metric][rows], self._clusters[rows]), "measured"
        return deviation_of(self._found[metric], self._clusters), "of all queries"


def needs(
    policy: Policy, labelled: Divided, unlabelled: Divided, differences: Differences,
    *, effect: float | None = None,
) -> tuple[Need, ...]:  # fmt: skip
    """Return what each cohort needs, for each metric that the policy holds against a baseline.

    Args:
        policy: its changes say metrics, margins and fields.
        labelled: queries with an answer.
        unlabelled: queries that could be labelled: a cohort may have only these.
        differences: of two results.
        effect: the loss that matters; None: the margin of each change.

    Raises:
        BadSetting: the policy has no changes, or the effect is not between 0 and 1.
    """
    if not policy.changes:
        raise BadSetting("Expected a policy with changes, whose margins say what matters.")
    differences.require_of(labelled.ids)
    found: list[Need] = []
    for rule in policy.changes:
        for cohort, ids in _cohorts(rule, labelled, unlabelled):
            deviation, known = differences.deviation(rule.metric, ids)
            wanted = rule.margin if effect is None else effect
            require(0 < wanted < 1, "the effect", "above 0 and below 1", wanted)
            sure = {"confidence": policy.confidence, "power": policy.power}
            out = effect_of(deviation, len(ids), **sure) if ids else 1.0
            found.append(Need(
                metric=rule.metric, cohort=cohort, labelled=len(ids), deviation=deviation,
                known=known, effect=wanted, needed=queries_for(deviation, wanted, **sure),
                rules_out=out if out < 1 else None,
            ))  # fmt: skip
    return tuple(found)


def _cohorts(rule: Change, labelled: Divided, unlabelled: Divided) -> list[tuple[str, list[str]]]:
    """Return the cohorts that a rule is about, and their labelled queries."""
    found = [(ALL, list(labelled.ids))]
    for field in dict.fromkeys((*labelled.labels, *unlabelled.labels)):
        if rule.cohorts is not None and field not in rule.cohorts:
            continue
        of_value: dict[str, list[str]] = {value: [] for value in unlabelled.labels.get(field, ())}
        for query, value in zip(labelled.ids, labelled.labels.get(field, ()), strict=False):
            of_value.setdefault(value, []).append(query)
        found += [(named(field, value), of_value[value]) for value in sorted(of_value)]
    return found
