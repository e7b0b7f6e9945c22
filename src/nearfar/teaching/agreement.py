"""How far judges agree: with themselves, asked again, and with people.

Shapes: U pairs that were judged, R ratings of each.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Ratings:
    """Counts how often grades stand beside each other, for Krippendorff's alpha."""

    def __init__(self, grades: int) -> None:
        """Begin with none.

        Args:
            grades: how many there are: 0 to grades - 1.
        """
        self._together = np.zeros((grades, grades))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A teacher beside people, on pairs that people have judged."""

    pairs: int
    share: float  # on which both say answer, or both say none
    kappa: float | None  # Cohen's; None where people said but one of the two

    @property
    def number(self) -> float:
        """What a threshold is held against: kappa, or the share where there is none."""
        return self.share if self.kappa is None else self.kappa

    def sentence(self) -> str:
        """Say it for a person."""
        beyond = "people said but one thing" if self.kappa is None else f"kappa {self.kappa:.2f}"
        return (
            f"The teacher agrees with people on {self.share:.0%} of {self.pairs:,} pairs "
            f"({beyond})."
        )


def with_people(teacher: Bools, people: Bools) -> Agreement:
    """Return how far a teacher agrees with people.

        kappa = (a - e) / (1 - e)

    with a the share of agreement, and e what it would be by chance at the same shares of answers.

    Args:
        teacher: (U,) which pairs it takes for answers; U is 1 or more.
        people: (U,) which pairs people do.

    Source: Cohen 1960, doi:10.1177/001316446002000104.
    """
    share = float((teacher == people).mean())
    if people.all() or not people.any():
        return Agreement(pairs=len(people), share=share, kappa=None)
    ours, theirs = float(teacher.mean()), float(people.mean())
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    return Agreement(pairs=len(people), share=share, kappa=(share - chance) / (1 - chance))
