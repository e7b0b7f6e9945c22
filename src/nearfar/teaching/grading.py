"""What a teacher's score makes of a document: no answer, an answer, or neither for sure.

Shapes: P pairs, Q queries.
"""

import math
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from nearfar.teaching.scales import Scale
from nearfar.teaching.settings import Teaching

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Verdict(IntEnum):
    """What the teacher takes a document for."""

    UNKNOWN = 0  # no score, or nothing to hold it against
    NEGATIVE = 1
    UNSURE = 2
    ANSWER = 3


def median_answers(
    scores: Floats, answers: npt.NDArray[np.bool_], query: Ints, queries: int
) -> Floats:
    """Return of each query the median score of its known answers; NaN without a scored one.

    Of an even number it is the higher of the two in the middle: where one of two answers was
    mislabelled, the other is held against.

    Args:
        scores: (P,) logits; NaN for none.
        answers: (P,) which pairs are known answers.
        query: (P,) from 0.
        queries: Q.
    """
    found = np.full(queries, np.nan)
    given = answers & ~np.isnan(scores)
    asked, own = query[given], scores[given]
    order = np.lexsort((own, asked))
    rows, first, counts = np.unique(asked[order], return_index=True, return_counts=True)
    found[rows] = own[order][first + counts // 2]
    return found


def verdicts(
    scores: Floats, reference: Floats, scale: Scale | None, settings: Teaching
) -> npt.NDArray[np.uint8]:
    """Return a Verdict for each pair, as if nothing were known of its own grade.

    With z the score, z_ref the median score of the query's known answers and, on a scale, p and
    p_ref their probabilities:

                   on a scale                                without one
        NEGATIVE   p < negative_share * p_ref                z < z_ref - log(1 / negative_share)
        ANSWER     p >= answer_probability and z >= z_ref    z >= z_ref
        UNSURE     what lies between                         what lies between

    Without a scored answer p_ref is `answer_probability`; without a scale either, the verdict is
    UNKNOWN. The right column says of the odds exp(z) what the left one says of probabilities: a
    number added to all logits of a query changes nothing there.

    Args:
        scores: (P,) logits; NaN for none.
        reference: (P,) what `median_answers` says of the query of each.
        scale: how scores become probabilities; None: they do not.
        settings: the shares.

    Source: a negative is kept only where a cross-encoder is sure of it, as in Qu et al. 2021,
        arXiv:2010.08191, sec. 4.2; there by fixed scores (0.1 and 0.9), here beside the answers'.
    """
    found = np.full(len(scores), Verdict.UNSURE, dtype=np.uint8)
    alone = np.isnan(reference)
    if scale is None:
        share = settings.negative_share
        margin = -math.log(share) if share > 0 else math.inf
        found[scores < reference - margin] = Verdict.NEGATIVE
        found[scores >= reference] = Verdict.ANSWER
        found[alone] = Verdict.UNKNOWN
    else:
        p = scale.probability(scores)
        answer = np.where(alone, settings.answer_probability, scale.probability(reference))
        found[p < settings.negative_share * answer] = Verdict.NEGATIVE
        likely = p >= settings.answer_probability
        found[likely & (alone | (scores >= reference))] = Verdict.ANSWER
    found[np.isnan(scores)] = Verdict.UNKNOWN
    return found
