"""How far judges agree: with themselves, asked again, and with people.

Shapes: U pairs that were judged, R ratings of each.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

_RARE = 10  # fewer answers, or fewer others, and kappa hangs on a handful

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Ratings:
    """Counts how often grades stand beside each other, for Krippendorff's alpha."""

    def __init__(self, grades: int) -> None:
        """Begin with none.

        Args:
            grades: how many there are: 0 to grades - 1.
        """
        self._grades = grades
        self.clear()

    def clear(self) -> None:
        """Forget all that was counted."""
        self._together = np.zeros((self._grades, self._grades))
        self._pairs = 0.0
        self._same = 0.0

    def add(self, ratings: Floats) -> None:
        """Count the ratings of some pairs.

        Args:
            ratings: (U, R) grades; NaN where one is missing.
        """
        for own in ratings:
            values = own[~np.isnan(own)].astype(np.int64)
            if len(values) < 2:
                continue
            counts = np.bincount(values, minlength=len(self._together)).astype(float)
            ordered = np.outer(counts, counts) - np.diag(counts)
            self._together += ordered / (len(values) - 1)
            self._pairs += ordered.sum()
            self._same += np.trace(ordered)

    @property
    def share(self) -> float | None:
        """Share of the pairs of ratings of one thing that are equal; None without any."""
        return self._same / self._pairs if self._pairs else None

    @property
    def alpha(self) -> float | None:
        """Return Krippendorff's alpha for ordered grades: 1 agree always, 0 as by chance.

            alpha = 1 - D_o / D_e,  D_o = sum o_ck d_ck / n,  D_e = sum n_c n_k d_ck / (n (n - 1))
            d_ck = (n_c / 2 + n_(c+1) + ... + n_k / 2)^2

        with o_ck how often grades c and k stand beside each other and n_c how often c was given.
        None where all grades are equal, so that nothing could be told apart.

        Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sec. E.
        """
        each = self._together.sum(axis=1)
        total = each.sum()
        if (each > 0).sum() < 2:
            return None
        middle = np.cumsum(each) - each / 2
        gaps = (middle[:, None] - middle[None, :]) ** 2
        seen = (self._together * gaps).sum() / total
        chance = (np.outer(each, each) * gaps).sum() / (total * (total - 1))
        return float(1 - seen / chance)

    @property
    def sentence(self) -> str | None:
        """Say it for a person; None where nothing was asked again."""
        if self.share is None:
            return None
        beyond = "it always says the same" if self.alpha is None else f"alpha {self.alpha:.2f}"
        return f"Asked again, the judge agrees with itself {self.share:.0%} ({beyond})."


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A teacher beside people, on pairs that people have judged."""

    pairs: int
    share: float  # on which both say the same; by order: of documents in the right order
    measure: Literal["kappa", "share", "order"]  # what the number is; see below
    number: float  # what a threshold is held against
    low: float  # the number lies between these
    high: float  # with a confidence of 95 %

    def sentence(self, least: float | None = None) -> str:
        """Say it for a person.

        Args:
            least: what the number shall be; said is also where that cannot be told.
        """
        between = f"{self.low:.2f} to {self.high:.2f} with 95% confidence"
        what = {
            "kappa": f"kappa {self.number:.2f}, {between}",
            "share": f"{between}; people said one of the two too seldom for kappa",
            "order": f"Somers' D {self.number:.2f}, {between}; {self.pairs:,} pairs",
        }[self.measure]
        told = f"The teacher agrees with people on {self.share:.0%} of {self.pairs:,} pairs"
        if self.measure == "order":
            told = f"The teacher puts answers of people first {self.share:.0%} of the time"
        told += f" ({what})."
        if least is not None and self.low < least <= self.high:
            told += f" These are too few to tell whether it is above {least:g}."
        return told


def with_people(teacher: Bools, people: Bools) -> Agreement:
    """Return how far a teacher agrees with people.

        kappa = (a - e) / (1 - e)

    with a the share of agreement, and e what it would be by chance at the same shares of answers.
    Where people said one of the two less than ten times, kappa hangs on these few and is near 0
    even where all but one pair agree: there the number is a itself. The interval is that of a
    (Clopper-Pearson), on kappa's scale at the same e.

    Args:
        teacher: (U,) which pairs it takes for answers; U is 1 or more.
        people: (U,) which pairs people do.

    Source: Cohen 1960, doi:10.1177/001316446002000104; Feinstein and Cicchetti 1990,
        doi:10.1016/0895-4356(90)90158-L (why not where one is rare); Clopper and Pearson 1934,
        doi:10.1093/biomet/26.4.404.
    """
    pairs = len(people)
    share = float((teacher == people).mean())
    low, high = clopper_pearson(share * pairs, pairs)
    if min(people.sum(), pairs - people.sum()) < _RARE:
        return Agreement(pairs=pairs, share=share, measure="share",
                         number=share, low=low, high=high)  # fmt: skip
    ours, theirs = float(teacher.mean()), float(people.mean())
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    number, low, high = ((one - chance) / (1 - chance) for one in (share, low, high))
    return Agreement(pairs=pairs, share=share, measure="kappa", number=number, low=low, high=high)


def in_order(scores: Floats, people: Bools, query: Ints) -> Agreement | None:
    """Return how far a teacher puts the answers of people before what they say is none.

        D = 2 a - 1,   a = mean over queries of the share of its pairs (an answer, no answer) of
                           which the answer scores higher; equal scores count a half

    So 0 is chance and 1 perfect, as for kappa, and nothing added to all scores of a query moves
    it. The interval is that of a (Clopper-Pearson), each query counted as one draw: the pairs of
    a query hang together.

    Args:
        scores: (U,) of pairs that people have judged.
        people: (U,) which pairs they take for answers.
        query: (U,) the query of each.

    Returns:
        None where no query has both.

    Source: Somers 1962, doi:10.2307/2090408.
    """
    shares, pairs = [], 0
    order = np.argsort(query, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(query[order])) + 1):
        right, wrong = scores[rows][people[rows]], np.sort(scores[rows][~people[rows]])
        if len(right) and len(wrong):
            below = np.searchsorted(wrong, right, "left") + np.searchsorted(wrong, right, "right")
            shares.append(below.sum() / (2 * len(right) * len(wrong)))
            pairs += len(rows)
    if not shares:
        return None
    share = float(np.mean(shares))
    low, high = clopper_pearson(share * len(shares), len(shares))
    return Agreement(pairs=pairs, share=share, measure="order",
                     number=2 * share - 1, low=2 * low - 1, high=2 * high - 1)  # fmt: skip


def clopper_pearson(successes: float, draws: int) -> tuple[float, float]:
    """Return the interval that holds a share of so many draws with 95 % confidence.

    >>> [round(one, 3) for one in clopper_pearson(0, 12)]
    [0.0, 0.265]
    """
    failures = draws - successes
    low = beta.ppf(0.025, successes, failures + 1) if successes > 0 else 0.0
    high = beta.ppf(0.975, successes + 1, failures) if failures > 0 else 1.0
    return float(low), float(high)
