"""A teacher held against people: before all else where asking costs money."""

import numpy as np

from nearfar.errors import BadRecord
from nearfar.teaching.agreement import Agreement, in_order, with_people
from nearfar.teaching.llm_judge import LlmJudge
from nearfar.teaching.scales import Scale
from nearfar.teaching.scoring import Scorer

_FEWEST = 10  # pairs judged by people: fewer say nothing about a teacher


def agreement(scorer: Scorer, scale: Scale | None) -> Agreement | None:
    """Return how far the teacher agrees with people on what it has scored so far.

    On a scale that was known before, answers are held against answers; otherwise the order is:
    a scale that is fitted on these very pairs would agree with itself.

    Args:
        scorer: and what its teachers said.
        scale: see `known_scale`.

    Returns:
        None where people have judged fewer than ten of the pairs.
    """
    known, settings = scorer.pairs.known, scorer.pairs.settings
    rows = np.array(scorer.pairs.people, dtype=np.int64)
    places = rows[~np.isnan(scorer.said.score[rows])]
    if len(places) < _FEWEST:
        return None
    scores, people = scorer.said.score[places].astype(np.float64), known.grade[places] > 0
    if scale is None:
        return in_order(scores, people, known.query[places])
    return with_people(scale.probability(scores) >= settings.answer_probability, people)


def try_first(scorer: Scorer, scale: Scale | None, least: float) -> Agreement | None:
    """Score some pairs that people have judged, alone, and return how far the teacher agrees.

    What was asked here is not paid again when the whole query comes (the journal has it), unless
    documents are graded or compared in company: that is other company then.

    Raises:
        BadRecord: surely less than `least`: even the upper end of the interval lies below.
    """
    block = scorer.pairs.trial()
    if block is None or len(block.place) < _FEWEST:
        return None
    scorer.score(block)
    found = agreement(scorer, scale)
    if found is not None and found.high < least:
        raise BadRecord(
            f"{found.sentence()} Expected at least {least:g}. Look at what it says "
            "and at what people said, try another model, or go on all the same with "
            '--allow-disagreement, or distillation.least_agreement = "none" in a recipe. What was '
            "asked so far is kept."
        )
    for one in scorer.teachers:
        if isinstance(one, LlmJudge):
            one.count_anew()
    return found
