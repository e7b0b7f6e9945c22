"""How a teacher's scores become probabilities: logits of rerankers have no zero of their own.

Shapes: J judgments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from nearfar.errors import BadModel, BadRecord, BadSetting
from nearfar.model.calibration import Calibration, calibrate
from nearfar.model.reranker import Reranker
from nearfar.teaching.known import Known
from nearfar.teaching.llm_judge import Grader, LlmJudge

_FEWEST = 10  # answers, and as many others: fewer say too little of where the zero is

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """p = 1 / (1 + exp(-(slope * z + offset))) is the probability that a document answers."""

    slope: float  # above 0
    offset: float
    fitted_on: Literal["rubric", "calibration", "judgments"]  # those of this very dataset

    def probability(self, scores: Floats) -> Floats:
        """Return the probabilities of logits; NaN of NaN."""
        found: Floats = expit(self.slope * scores + self.offset)
        return found


def known_scale(teachers: Sequence[Reranker], calibration: Calibration | None) -> Scale | None:
    """Return the scale that is known before anything is scored, if any is.

    A language model that grades says what its grades mean. A reranker's logits mean what was
    fitted for it on other data, if that was done.

    Args:
        teachers: all of them.
        calibration: of the only one.

    Raises:
        BadSetting: there are several teachers, or it compares; their scores are other numbers.
        BadModel: it was fitted for another reranker.
    """
    if calibration is not None:
        if len(teachers) != 1 or isinstance(teachers[0], LlmJudge):
            raise BadSetting(
                "A calibration holds for the logits of one reranker alone, and none was fitted for "
                f"these {len(teachers)} teachers together or for a language model. Leave it out."
            )
        if calibration.reranker != teachers[0].fingerprint:
            raise BadModel(
                f"Expected the calibration of reranker {teachers[0].fingerprint}, got that of "
                f"{calibration.reranker}. Fit it again for this one, or leave it out."
            )
        return Scale(calibration.slope, calibration.offset, "calibration")
    if len(teachers) == 1 and isinstance(teachers[0], Grader):
        return Scale(1.0, 0.0, "rubric")
    return None


def fitted_scale(scores: npt.NDArray[np.float32], known: Known) -> Scale | None:
    """Return the scale on which the dataset's own judgments are likeliest, if they can tell.

    Fitted (see `calibrate`) on what people and machines judged, before any teacher did: answers,
    and all others as no answers. False negatives among these make the probabilities of high
    scores too modest, never too bold.

    Args:
        scores: (J,) of this teaching; NaN: none.
        known: the judgments.

    Returns:
        None where there are fewer than 10 of a kind, or the teacher orders them backwards.
    """
    given = ~np.isnan(scores)
    answers = np.flatnonzero(given & (known.grade > 0) & ~known.taught)
    others = np.flatnonzero(given & (((known.grade == 0) & ~known.taught) | known.was_negative))
    if min(len(answers), len(others)) < _FEWEST:
        return None
    logits = torch.from_numpy(scores[np.concatenate([answers, others])])
    truth = torch.cat([torch.ones(len(answers)), torch.zeros(len(others))]).long()
    try:
        found = calibrate(logits, truth, reranker="")
    except BadRecord:
        return None
    return Scale(found.slope, found.offset, "judgments")
