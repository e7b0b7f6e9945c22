"""From counts to grades: which documents answer a query, which do not, and how sure that is."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.data.clicks.counts import Cells
from nearfar.data.clicks.propensity import Propensities
from nearfar.data.clicks.settings import Clicks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HIGHEST_GRADE = 3.0  # of the best document of a query; measures round grades to whole numbers

OF_NO_ANSWER = "pairs passed over, of queries without an answer"


@dataclass(frozen=True)
class PairGrades:
    """One row for each pair of a query and a document that was shown."""

    query: Ints
    document: Ints
    first_page: Ints
    impressions: Ints
    clicks: Ints
    satisfied: Ints
    skips: Ints
    position: Floats  # the mean over impressions, from 1
    examined: Floats  # expected number of times that someone looked, clipped: sum of n_k p_k
    satisfaction: Floats  # chance that who looks is satisfied, 0 to 1, drawn to the query's mean
    grade: Floats  # above 0: an answer; 0: skipped, no answer; NaN: not judged


def graded(
    cells: Cells, propensities: Propensities, settings: Clicks
) -> tuple[PairGrades, Counter[str]]:
    """Return a grade for each pair that the log says enough of, and why others have none.

    With n_k impressions and s_k satisfied clicks of a pair at rank k, and clipped propensities
    p'_k = max(p_k, least_propensity), the pair was looked at e = sum_k n_k p'_k times. Its
    inverse-propensity-weighted click-through is that of its ranks, s_k / (n_k p'_k), each
    weighted by its share of e, which is s / e; it is drawn towards its query's mean, and that
    towards the mean of all, as under a Beta prior worth m = prior_examinations looks:

        mean         =  sum of s / sum of e,                     over all pairs
        query mean   =  (S + m mean) / (E + m),                  S, E over the query's pairs
        satisfaction =  (s + m query mean) / (e + m),            at most 1
        grade        =  3 satisfaction / (the query's highest)

    (The plain mean of clicks weighted by 1 / p' has the same expectation; weighting ranks by
    how often they were looked at keeps a lucky click at a deep rank from deciding.)

    An answer needs least_impressions, least_clicks satisfied clicks, and least_share of the
    query's best. A pair is judged no answer, grade 0, if it was never clicked and stood above
    a clicked document at least least_skips times, in a query that has an answer: people look
    from the top down, so it was most likely seen and passed over. The rest is not judged.

    Args:
        cells: the counts, one or more.
        propensities: how likely each rank is looked at.
        settings: the bar.

    Source: clipped inverse propensity: Joachims, Swaminathan and Schnabel 2017,
        arXiv:1608.04468; clicks over expected examinations: Chapelle and Zhang 2009,
        doi:10.1145/1526709.1526711, their DBN without the cascade; skip-above: Joachims 2002,
        doi:10.1145/775047.775067, and Joachims et al. 2005, doi:10.1145/1076034.1076063;
        short stays are no answers: Fox et al. 2005, doi:10.1145/1059981.1059982.
    """
    first, query = cells.first, cells.query
    clipped = np.maximum(propensities.by_rank, settings.least_propensity)[cells.rank]
    impressions = np.add.reduceat(cells.impressions, first)
    satisfied = np.add.reduceat(cells.satisfied, first)
    examined = np.add.reduceat(cells.impressions * clipped, first)
    prior = settings.prior_examinations
    mean = satisfied.sum() / examined.sum()
    query_satisfied = np.bincount(query, satisfied)[query]
    query_examined = np.bincount(query, examined)[query]
    query_mean = (query_satisfied + prior * mean) / (query_examined + prior)
    satisfaction = np.minimum((satisfied + prior * query_mean) / (examined + prior), 1.0)
    pairs = PairGrades(
        query=query,
        document=cells.document,
        first_page=np.minimum.reduceat(cells.first_page, first),
        impressions=impressions,
        clicks=np.add.reduceat(cells.clicks, first),
        satisfied=satisfied,
        skips=np.add.reduceat(cells.skips, first),
        position=np.add.reduceat(cells.impressions * cells.rank, first) / impressions,
        examined=examined,
        satisfaction=satisfaction,
        grade=np.full(len(first), np.nan),
    )
    return pairs, _judge(pairs, settings)


def _judge(pairs: PairGrades, settings: Clicks) -> Counter[str]:
    """Fill in the grades; return how many pairs have none, by reason."""
    supported = (pairs.impressions >= settings.least_impressions) & (
        pairs.satisfied >= settings.least_clicks
    )
    best = np.zeros(int(pairs.query.max()) + 1)
    np.maximum.at(best, pairs.query[supported], pairs.satisfaction[supported])
    share = np.zeros(len(pairs.query))
    share[supported] = pairs.satisfaction[supported] / best[pairs.query[supported]]
    answers = supported & (share >= settings.least_share)
    pairs.grade[answers] = HIGHEST_GRADE * share[answers]
    skipped = (pairs.clicks == 0) & (pairs.skips >= settings.least_skips)
    asked = best[pairs.query] > 0
    pairs.grade[skipped & asked] = 0.0
    clicked = ~answers & (pairs.clicks > 0)
    short = clicked & (pairs.satisfied == 0)
    weak = clicked & supported
    reasons = {
        "pairs only clicked with a stay too short": short,
        "pairs with too few impressions or clicks": clicked & ~short & ~weak,
        "pairs far less clicked than the best of their query": weak,
        OF_NO_ANSWER: skipped & ~asked,
        "pairs never clicked, and too seldom passed over": (pairs.clicks == 0) & ~skipped,
    }
    return Counter({reason: int(found.sum()) for reason, found in reasons.items() if found.any()})
