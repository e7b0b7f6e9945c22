"""How hard mined negatives are, and how many of them are probably answers.

The measure of a negative is its margin: the cosine of the query's lowest-scoring answer minus its
own. Easy negatives lie as far away as documents drawn by chance and teach nothing; negatives
above the answer are often answers that nobody has judged.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadRecord

Floats = npt.NDArray[np.float64]
_FEW = 30  # negatives, below which an average says nothing
_EDGES = np.linspace(-0.5, 1.0, 31)  # of the histogram of margins


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What can be said of the negatives of a dataset; all scores are cosines."""

    negatives: int
    mean_score: float
    mean_answer_score: float  # of the lowest-scoring answer, once for each negative
    mean_random_score: float  # of documents drawn by chance for the same queries
    random_deviation: float  # standard deviation of those
    share_above_answer: float  # 0 to 1
    probably_false: float | None  # 0 to 1: the teacher's mean probability; None: no teacher
    margin_edges: tuple[float, ...]  # of the histogram; what lies outside counts at its ends
    margin_counts: tuple[int, ...]

    @property
    def hardness(self) -> float:
        """Return how many deviations the negatives lie above documents drawn by chance."""
        return (self.mean_score - self.mean_random_score) / max(self.random_deviation, 1e-9)

    @property
    def by_chance(self) -> bool:
        """Whether the negatives are no harder than documents drawn by chance."""
        return self.negatives >= _FEW and not self.hardness >= 1

    def sentences(self) -> list[str]:
        """Return in words what a person should know before training on them."""
        if not self.negatives:
            return ["No document was a safe negative for any query."]
        said = [
            f"A negative scores {self.mean_score:.2f} on average, an answer "
            f"{self.mean_answer_score:.2f}, a document drawn by chance "
            f"{self.mean_random_score:.2f}.",
            f"{self.share_above_answer:.1%} of the negatives score above the answer.",
        ]
        if self.probably_false is not None:
            said.append(
                f"The teacher expects {self.probably_false:.1%} of the negatives to be answers."
            )
        if self.by_chance:
            said.append(
                "The negatives are no harder than documents drawn by chance: training will learn "
                "little from them."
            )
        return said


@dataclass(slots=True)
class Auditor:
    """Looks on while negatives are mined, and counts."""

    _scores: list[float] = field(default_factory=list)
    _margins: list[float] = field(default_factory=list)
    _random: list[float] = field(default_factory=list)
    _probabilities: list[float] = field(default_factory=list)

    def see_chance(self, score: float) -> None:
        """Take note of what a document drawn by chance scores for a query."""
        self._random.append(score)

    def see_negative(self, score: float, answer_score: float, probability: float | None) -> None:
        """Take note of a negative, and of the teacher's probability that it is an answer."""
        self._scores.append(score)
        self._margins.append(answer_score - score)
        if probability is not None:
            self._probabilities.append(probability)

    def audit(self) -> Audit:
        """Return what was seen so far."""
        margins = np.array(self._margins)
        counts, _ = np.histogram(np.clip(margins, _EDGES[0], _EDGES[-1]), _EDGES)
        return Audit(
            negatives=len(margins),
            mean_score=_mean(self._scores),
            mean_answer_score=_mean((np.array(self._scores) + margins).tolist()),
            mean_random_score=_mean(self._random),
            random_deviation=float(np.std(self._random)) if self._random else math.nan,
            share_above_answer=_mean((margins < 0).tolist()),
            probably_false=_mean(self._probabilities) if self._probabilities else None,
            margin_edges=tuple(np.round(_EDGES, 3).tolist()),
            margin_counts=tuple(counts.tolist()),
        )


def require_hard(audit: Audit) -> None:
    """Make sure that negatives are worth the name.

    Raises:
        BadRecord: they are no harder than documents drawn by chance.
    """
    if audit.by_chance:
        raise BadRecord(
            f"Expected hard negatives, found {audit.negatives:,} that score "
            f"{audit.mean_score:.3f} on average, no harder than documents drawn by chance "
            f"({audit.mean_random_score:.3f} ± {audit.random_deviation:.3f}). Take a smaller "
            "mining.first_rank or margin, another finder or model; or say mining.allow_random = "
            "true if that is wanted."
        )


def _mean(numbers: list[float] | list[bool]) -> float:
    return float(np.mean(numbers)) if numbers else math.nan
