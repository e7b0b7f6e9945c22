"""What a teacher's score makes of a document: no answer, an answer, or neither for sure.

Shapes: P pairs.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from nearfar.teaching.settings import Teaching

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Verdict(IntEnum):
    """What the teacher takes a document for."""

    UNSCORED = 0
    NEGATIVE = 1
    UNSURE = 2
    ANSWER = 3


def probability(scores: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)) of logits."""
    found: Floats = expit(scores)
    return found


def lowest_answers(scores: Floats, answers: npt.NDArray[np.bool_], query: Ints) -> Floats:
    """Return for each pair the lowest score of a known answer of its query; NaN without any.

    Args:
        scores: (P,) logits; NaN for none.
        answers: (P,) which pairs are known answers.
        query: (P,) from 0.
    """
    lowest = np.full(int(query.max(initial=-1)) + 1, np.inf)
    given = answers & ~np.isnan(scores)
    np.minimum.at(lowest, query[given], scores[given])
    lowest[np.isinf(lowest)] = np.nan
    found: Floats = lowest[query]
    return found


def verdicts(scores: Floats, lowest: Floats, settings: Teaching) -> npt.NDArray[np.uint8]:
    """Return a Verdict for each pair, as if nothing were known of its own grade.

        NEGATIVE   p <  negative_share * p of the query's lowest-scoring answer
        ANSWER     p >= answer_probability, and the score is that answer's or above
        UNSURE     what lies between

    with p = 1 / (1 + exp(-score)). Without a scored answer its p is taken for
    `answer_probability`. The two cannot both hold.

    Args:
        scores: (P,) logits; NaN for none.
        lowest: (P,) as `lowest_answers` returns it.
        settings: the shares.

    Source: a negative is kept only where a cross-encoder is sure of it, as in Qu et al. 2021,
        arXiv:2010.08191, sec. 4.2; there by fixed scores (0.1 and 0.9), here beside the answer's.
    """
    p = probability(scores)
    answer = np.where(np.isnan(lowest), settings.answer_probability, probability(lowest))
    at_least = np.isnan(lowest) | (scores >= lowest)
    found = np.full(len(scores), Verdict.UNSURE, dtype=np.uint8)
    found[p < settings.negative_share * answer] = Verdict.NEGATIVE
    found[(p >= settings.answer_probability) & at_least] = Verdict.ANSWER
    found[np.isnan(scores)] = Verdict.UNSCORED
    return found
