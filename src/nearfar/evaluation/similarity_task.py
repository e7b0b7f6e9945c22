"""The task "similarity": does a likeness of 0.8 mean that 80 of 100 such pairs belong together?

Calibrated on dev, held against the pairs of another split: so it is said of pairs that had no say.

Shapes: N pairs.
"""

from collections.abc import Sequence

import numpy as np

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.evaluation.intervals import FEWEST, estimate
from nearfar.evaluation.judged_pairs import JudgedPairs, require_pairs
from nearfar.evaluation.judged_texts import JudgedTexts
from nearfar.evaluation.likeness import Floats, calibrate_similarity, graded, logit, truth_of
from nearfar.evaluation.task_scores import Asking, Band, Ints, TaskScores
from nearfar.model.calibration import honesty
from nearfar.records import Scalar, Split

_FITTED_ON: Split = "dev"
_BANDS = 5  # of equal width, that people read
_DRAWS = 200  # of pairs by an honest similarity


def require_dev_pairs(dataset: Dataset, split: Split, pairs: JudgedPairs) -> JudgedPairs:
    """Return the pairs of dev on which a similarity for those of another split is calibrated.

    Raises:
        BadSetting: the split is dev itself.
        BadRecord: dev has none, fewer than 20, or pairs of the other kind.
    """
    if split == _FITTED_ON:
        raise BadSetting(
            "task similarity: expected another split than dev, which it is calibrated on: what is "
            "measured where it was fitted flatters. Choose evaluation.split=test."
        )
    found = require_pairs(dataset, _FITTED_ON, "similarity")
    names = {True: "by degrees (origin sts)", False: "as answers or not"}
    if graded(found) != graded(pairs):
        raise BadRecord(
            f"{dataset.folder}: expected pairs judged {names[graded(pairs)]} in dev, as in "
            f"{split}, found pairs judged {names[graded(found)]}. Divide one source into both."
        )
    if len(found.grades) < FEWEST:
        raise BadRecord(
            f"{dataset.folder}: expected {FEWEST} judged pairs or more in dev to calibrate a "
            f"similarity on, found {len(found.grades)}. Import more into dev (`--dev`)."
        )
    return found


def hold_similarity(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    """Calibrate a similarity on dev, and hold it against the pairs of another split.

        brier error of a pair = (likeness - truth)²
        calibration error = sum over 15 bins of  n_bin / N * | mean likeness - mean truth |

    Even an honest similarity has a calibration error above 0, as the pairs of a bin are few: what
    it would be by chance alone is among the facts, and so is the Brier error of knowing no more
    than how many pairs of dev belong together.

    Raises:
        BadSetting: the split is dev itself.
        BadRecord: dev has no such pairs, or cosines do not rise with what people said.

    Source: Brier 1950; Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """
    dev = require_dev_pairs(asking.dataset, asking.split, pairs)
    highest = max(1.0, *(float(own.grades.max()) for own in (dev, pairs)))
    fitted = calibrate_similarity(
        asking.encoder, asking.dataset, split=_FITTED_ON, highest=highest, progress=asking.progress
    )
    judged = JudgedTexts(asking, pairs)
    said, truth = fitted.of(judged.cosines()), truth_of(pairs, highest=highest)
    scores = judged.scores({"similarity_brier_error": (said - truth) ** 2})

    def error(rows: Ints) -> float:
        return honesty(logit(said[rows]), truth[rows]).calibration_error

    known = float(truth_of(dev, highest=highest).mean())
    facts: dict[str, Scalar] = {
        "kind": fitted.kind,
        "means": "degree" if graded(pairs) else "probability",
        "calibrated_on": _FITTED_ON,
        "pairs_of_dev": fitted.pairs,
        "brier_error_of_the_mean": float(((truth - known) ** 2).mean()),
    }
    if not graded(pairs):
        facts["calibration_error_by_chance"] = _error_by_chance(said)
    return TaskScores(
        task="similarity", scores=scores, numbers={"similarity_calibration_error": error},
        facts=facts, bands=bands(said, truth, scores.clusters), beside=fitted.write,
    )  # fmt: skip


def bands(said: Floats, truth: Floats, clusters: Sequence[str]) -> tuple[Band, ...]:
    """Return what is true of the pairs of each fifth of the scale that has any."""
    place = np.minimum((said * _BANDS).astype(np.int64), _BANDS - 1)
    names = np.asarray(clusters, dtype=str)
    return tuple(
        Band(
            low=own / _BANDS, high=(own + 1) / _BANDS, said=float(said[place == own].mean()),
            true=estimate(truth[place == own], names[place == own].tolist(), span=(0.0, 1.0)),
        )
        for own in np.unique(place).tolist()
    )  # fmt: skip


def _error_by_chance(said: Floats) -> float:
    """Return the mean calibration error of pairs that are drawn as the similarity says."""
    dice = np.random.default_rng(0)
    logits = logit(said)
    drawn = (dice.random(len(said)) < said for _ in range(_DRAWS))
    errors = [honesty(logits, one.astype(np.float64)).calibration_error for one in drawn]
    return float(np.mean(errors))
