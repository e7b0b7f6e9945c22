"""The bar that a candidate must pass, as data: a team writes it down before it measures."""

import datetime as dt
import math
from dataclasses import dataclass, field
from typing import Literal

from nearfar.errors import BadSetting, require

ALL = "all queries"  # the cohort that everyone is in


def named(field: str, value: str) -> str:
    """Return what a cohort is called, in verdicts, plans and waivers."""
    return f"{field} = {value}"


Insufficient = Literal["hold", "canary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A metric that no cohort may lose more of than a margin, held against the baseline."""

    metric: str
    margin: float = 0.02  # PASS: the lower bound of candidate less baseline lies above -margin
    minimum_effect: float = 0.01  # a loss below it never blocks, however sure it is
    cohorts: tuple[str, ...] | None = None  # fields, besides all queries; None: every field

    def __post_init__(self) -> None:
        _above_zero("margin", self.margin)
        holds = 0 <= self.minimum_effect < math.inf
        require(holds, "changes.minimum_effect", "0 or more", self.minimum_effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A metric whose mean must surely lie above a number, whatever the baseline has."""

    metric: str
    at_least: float  # PASS: the lower bound of the mean is not below it
    cohorts: tuple[str, ...] | None = ()  # fields, besides all queries; None: every field

    def __post_init__(self) -> None:
        require(math.isfinite(self.at_least), "floors.at_least", "a number", self.at_least)
        require(self.metric.endswith("_score"), "floors.metric", "one of which more is better "
                "(its name ends in _score)", self.metric)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A number of the whole system, such as p95_seconds: down is good."""

    name: str
    at_most: float | None = None
    times_baseline: float | None = None  # at most so many times what the baseline costs

    def __post_init__(self) -> None:
        one = self.at_most is not None or self.times_baseline is not None
        require(one, f"costs ({self.name})", "given at_most, times_baseline, or both", None)
        for name in ("at_most", "times_baseline"):
            if (found := getattr(self, name)) is not None:
                _above_zero(name, found, "costs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    """A document that a query must find, come what may."""

    query: str  # id
    document: str  # id
    within: int = 10  # the first so many

    def __post_init__(self) -> None:
        require(1 <= self.within <= 10, "sentinels.within", "1 to 10", self.within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Somebody's word that a rule need not hold for a cohort, for a while."""

    metric: str  # of the rule; or the name of a cost, or "sentinels"
    cohort: str = ALL  # "query.language = de"
    reason: str
    by: str
    until: dt.date  # the last day on which it counts

    def __post_init__(self) -> None:
        for name in ("reason", "by"):
            require(bool(getattr(self, name).strip()), f"waivers.{name}", "given", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All rules, and how sure one wants to be.

    Where nothing is said the bar is: no cohort may lose 0.02 of nDCG@10.
    """

    changes: tuple[Change, ...] = field(
        default_factory=lambda: (Change(metric="ndcg_at_10_score"),)
    )
    floors: tuple[Floor, ...] = ()
    costs: tuple[Cost, ...] = ()
    sentinels: tuple[Sentinel, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    alpha: float = 0.05  # the most chance of blocking a candidate that lost nothing, over all rules
    confidence: float = 0.95  # of each lower bound: a loss of the margin passes 1 in 20 times
    power: float = 0.8  # what "queries needed" promises: so often a loss of the margin is seen
    insufficient: Insufficient = "hold"  # or: to a small part of the traffic
    fewest: int = 20  # queries of a cohort that statistics are asked about; of fewer, sentinels
    judged_drop: float = 0.1  # Judged@10 may lie so much below the baseline's: else label first
    most_runs: int = 20  # of candidates on one test set, before it is told to be worn out
    resamples: int = 20_000  # of the test: sign flips
    seed: int = 0  # of these

    def __post_init__(self) -> None:
        for name, low, high in (("alpha", 0, 0.5), ("confidence", 0.5, 1), ("power", 0, 1)):
            found = getattr(self, name)
            require(low < found < high, name, f"above {low} and below {high}", found)
        require(self.insufficient in ("hold", "canary"), "insufficient", "hold or canary",
                self.insufficient)  # fmt: skip
        require(self.fewest >= 20, "fewest", "20 or more (of fewer queries no interval is honest "
                "and narrow)", self.fewest)  # fmt: skip
        require(0 <= self.judged_drop <= 1, "judged_drop", "0 to 1", self.judged_drop)
        for name in ("most_runs", "resamples"):
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        for kind, names in (
            ("changes", [one.metric for one in self.changes]),
            ("floors", [one.metric for one in self.floors]),
            ("costs", [one.name for one in self.costs]),
        ):
            if len(set(names)) < len(names):
                raise BadSetting(f"{kind} must name each metric once, got {names}.")
        if not (self.changes or self.floors or self.costs or self.sentinels):
            raise BadSetting("A policy must have a rule: changes, floors, costs or sentinels.")


def _above_zero(name: str, found: float, table: str = "changes") -> None:
    require(0 < found < math.inf, f"{table}.{name}", "above 0", found)
