"""Can one threshold of the cosine tell pairs that belong together from those that do not?

Shapes: N pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from nearfar.errors import BadRecord

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which cosine on a pair counts as one, so that dev is told apart best."""

    f1: float  # where F1 is highest
    accuracy: float  # where most pairs are right


def choose_thresholds(cosines: Floats, answers: Bools) -> Thresholds:
    """Choose on one split what is applied to another: chosen on test, both would flatter.

    A threshold lies in the middle between two cosines that differ; among equals in quality the
    highest is taken.

    Args:
        cosines: (N,) of the pairs of dev.
        answers: (N,) whether the two belong together.

    Raises:
        BadRecord: all pairs are of one kind.
    """
    require_two_kinds(answers)
    order = np.argsort(-cosines, kind="stable")
    sorted_cosines = cosines[order]
    right = np.cumsum(answers[order])  # answers among the first n
    n = np.arange(1, len(cosines) + 1)
    f1 = 2 * right / (n + answers.sum())
    accuracy = (right + (~answers).sum() - (n - right)) / len(answers)
    ends = np.append(sorted_cosines[1:] < sorted_cosines[:-1], True)  # equals go together
    after = np.append(sorted_cosines[1:], -np.inf)

    def middle(quality: Floats) -> float:
        best = int(np.argmax(np.where(ends, quality, -1.0)))
        below = after[best] if np.isfinite(after[best]) else sorted_cosines[best] - 1.0
        return float((sorted_cosines[best] + below) / 2)

    none_right = float((~answers).mean())  # by calling no pair one
    strict = none_right >= np.where(ends, accuracy, -1.0).max()
    return Thresholds(middle(f1), float(sorted_cosines[0] + 1) if strict else middle(accuracy))


def average_precision(cosines: Floats, answers: Bools) -> float:
    """Return the area under precision and recall, 0 to 1; a pair in how many belong: a guess.

        sum over thresholds of (recall - recall before) * precision;   equals change at once

    Raises:
        BadRecord: all pairs are of one kind.
    """
    require_two_kinds(answers)
    return float(average_precision_score(answers, cosines))


def f1_at(cosines: Floats, answers: Bools, threshold: float) -> float:
    """Return 2 * hits / (pairs called one + pairs that are one), 0 to 1; 0 where there is none."""
    called = cosines >= threshold
    both = int(called.sum() + answers.sum())
    return 2 * int((called & answers).sum()) / both if both else 0.0


def right_at(cosines: Floats, answers: Bools, threshold: float) -> Floats:
    """Return, of each pair, 1 where the threshold calls it what it is, else 0."""
    right: Floats = ((cosines >= threshold) == answers).astype(np.float64)
    return right


def require_two_kinds(answers: Bools) -> None:
    """Raise BadRecord unless there are pairs that belong together and pairs that do not."""
    ones = int(answers.sum())
    if not 0 < ones < len(answers):
        raise BadRecord(
            f"Expected pairs that belong together and pairs that do not, found {ones:,} and "
            f"{len(answers) - ones:,}. Add judgments of the other kind to both dev and the split "
            "that is measured."
        )
