"""What a ranking is worth, query by query, counted by trec_eval's own code."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

import pytrec_eval

from nearfar.data.grades import whole_grade
from nearfar.errors import BadRecord, BadSetting

METRICS = (
    "ndcg_at_10_score",
    "recall_at_10_score",
    "recall_at_100_score",
    "mrr_at_10_score",
    "map_score",
)
_AT = {  # what trec_eval calls those that look at the first k places
    "ndcg": "ndcg_cut",
    "binary_ndcg": "ndcg_cut",
    "recall": "recall",
    "precision": "P",
    "map": "map_cut",
    "hit": "success",
    "mrr": "recip_rank",
    "judged": "",  # it has none
}
_WHOLE = {"map": "map", "r_precision": "Rprec", "mrr": "recip_rank"}
_NAME = re.compile(r"([a-z_]+?)(?:_at_([1-9][0-9]*))?_score")
_DEEPEST = 1_000_000  # k
_HIGHEST = 1_000_000  # grade: trec_eval keeps a counter for each, and overflows unseen
_QUERIES_AT_ONCE = 512  # whose values stand in trec_eval's memory and in ours

Judged = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a ranking."""

    name: str  # ndcg_at_10_score
    family: str  # ndcg
    k: int | None  # places looked at; None: all

    @property
    def theirs(self) -> str:
        """Return what trec_eval calls it in its answer; empty where it does not count it."""
        if self.k is None or self.family in ("mrr", "judged"):
            return {**_AT, **_WHOLE}[self.family]
        return f"{_AT[self.family]}_{self.k}"


def metric(name: str) -> Metric:
    """Return the metric of that name, any k from 1 to a million.

        ndcg_at_K_score       graded         binary_ndcg_at_K_score    every answer worth the same
        recall_at_K_score     precision_at_K_score     hit_at_K_score     judged_at_K_score
        mrr_at_K_score        mrr_score      map_at_K_score   map_score   r_precision_score

    Raises:
        BadSetting: there is none; the nearest name is offered.

    >>> metric("precision_at_5_score").k
    5
    """
    found = _NAME.fullmatch(name)
    family, k = found.groups() if found else ("", None)
    if k is None and family in _WHOLE:
        return Metric(name, family, None)
    if k is not None and family in _AT and len(k) <= len(str(_DEEPEST)) and int(k) <= _DEEPEST:
        return Metric(name, family, int(k))
    digits = re.search(r"[1-9][0-9]{0,5}", name)
    names = _names(digits.group() if digits else "10")
    close = difflib.get_close_matches(name.lower().replace("@", "_at_"), names, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(_names('K'))}."
    raise BadSetting(f"metrics: there is no {name!r}; k goes from 1 to {_DEEPEST:,}. {hint}")


def _names(k: str) -> list[str]:
    whole = [f"{family}_score" for family in _WHOLE]
    return [f"{family}_at_{k}_score" for family in _AT] + whole


def per_query(
    rankings: Mapping[str, Sequence[str]], judged: Judged, metrics: Sequence[str] = METRICS
) -> dict[str, dict[str, float]]:
    """Return metrics of every query that has a right answer.

        nDCG@k         the share of the best possible gain in the first k places, discount log2,
                       gain linear in the grade; binary: gain 1 for every answer
        recall@k       the share of all answers that the first k places hold
        precision@k    the share of k places that hold an answer; places left empty hold none
        R-precision    precision@R, where R is the number of answers
        MRR@k          1 / place of the first answer, 0 if it comes after place k
        hit@k          1 if an answer is among the first k, else 0
        MAP            the mean, over all answers, of the precision at their places, 0 for an
                       answer that is not in the ranking; MAP@k: nor in the first k places
        judged@k       the share of the first k documents found, of fewer where fewer were found,
                       that anybody has judged, right or wrong

    Args:
        rankings: for each query, document ids, best first, without repeats. A query that is
            missing here found nothing, and counts 0.
        judged: for each query, what its documents are worth; above 0 is an answer. Grades that
            are no whole numbers are rounded, an answer to no less than 1. NaN (neither) is as if
            nobody had judged: the document keeps its place and gains nothing. Queries without an
            answer have no score: they are left out, for the caller to count.
        metrics: their names, as `metric` reads them.

    Returns:
        For each query its metrics, 0 to 1 each, up is good.

    Raises:
        ValueError: a ranking names a document twice.
        BadRecord: a grade is above a million.
        BadSetting: there is no such metric.

    Source: Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418; trec_eval 9; judged@k as in
        MacAvaney et al. 2022, "Streamlining evaluation with ir-measures".
    """
    asked = [metric(name) for name in metrics]
    shared: dict[int, dict[str, float]] = {}
    answered = (q for q, grades in judged.items() if any(grade > 0 for grade in grades.values()))
    values: dict[str, dict[str, float]] = {}
    while some := list(islice(answered, _QUERIES_AT_ONCE)):
        places = [_places(query, rankings.get(query, ()), judged[query]) for query in some]
        told = _trec_eval(places, [m for m in asked if m.family != "binary_ndcg"], shared)
        alike = [dict.fromkeys(own, 1) for own in places]
        told_alike = _trec_eval(alike, [m for m in asked if m.family == "binary_ndcg"], shared)
        for row, query in enumerate(some):
            values[query] = own = {}
            for one in asked:
                if one.family == "judged":
                    own[one.name] = _known(rankings.get(query, ())[: one.k], judged[query])
                    continue
                found = told_alike if one.family == "binary_ndcg" else told
                value = found.get(row, {}).get(one.theirs, 0.0)
                # 1 / place of the first answer: what is below 1 / k comes after place k.
                late = one.family == "mrr" and one.k is not None and value < 1 / one.k
                own[one.name] = 0.0 if late else value
    return values


def mean_scores(rankings: Mapping[str, Sequence[str]], judged: Judged) -> dict[str, float]:
    """Return the means over queries of what a training run is checked by: a quick look."""
    names = ("ndcg_at_10_score", "recall_at_10_score", "mrr_at_10_score")
    scores = per_query(rankings, judged, names).values()
    return {name: sum(score[name] for score in scores) / len(scores) for name in names}


def _trec_eval(
    places: Sequence[Mapping[int, int]],
    asked: Iterable[Metric],
    shared: dict[int, dict[str, float]],
) -> dict[int, dict[str, float]]:
    """Return what trec_eval says, by the number of the query; nothing of one that found nothing.

    It is told places, not ids: the document at place 7 is called "7". Its time goes into reading
    one entry per document; so all queries share a few rankings of such names, each long enough
    for the last answer of its queries, since what comes after that changes no metric. No id can
    break a tie either, nor end at a NUL.

    Args:
        places: of each query, the grade of the answers by their place; below 0: not found.
        asked: the metrics it counts.
        shared: rankings that were made before, by their length.
    """
    names = {one.theirs for one in asked if one.theirs}
    lasts = {str(row): max(own) for row, own in enumerate(places) if names and max(own) >= 0}
    if not lasts:
        return {}
    judged = {
        row: {str(place): grade for place, grade in places[int(row)].items()} for row in lasts
    }
    runs = {row: _run(last, shared) for row, last in lasts.items()}
    found = pytrec_eval.RelevanceEvaluator(judged, names).evaluate(runs)
    return {int(row): values for row, values in found.items()}


def _run(last: int, shared: dict[int, dict[str, float]]) -> dict[str, float]:
    # trec_eval reads scores as float32, which tells whole numbers up to 16 million apart.
    length = 1 << last.bit_length()
    if length not in shared:
        shared[length] = {str(place): float(-place) for place in range(length)}
    return shared[length]


def _places(query: str, ranking: Sequence[str], grades: Mapping[str, float]) -> dict[int, int]:
    """Return the grade of each answer by its place, from 0; by -1, -2, ... where not found."""
    place_of = dict(zip(ranking, range(len(ranking)), strict=True))
    if len(place_of) != len(ranking):
        raise ValueError(f"the ranking of query {query!r} names a document twice.")
    missing = count(-1, -1)
    return {
        place_of[id_] if id_ in place_of else next(missing): _whole(query, grade)
        for id_, grade in grades.items()
        if grade > 0
    }


def _known(first: Sequence[str], grades: Mapping[str, float]) -> float:
    """Return the share of some documents that somebody has judged; 0 of none."""
    known = sum(id_ in grades and not math.isnan(grades[id_]) for id_ in first)
    return known / len(first) if first else 0.0


def _whole(query: str, grade: float) -> int:
    if grade > _HIGHEST:
        raise BadRecord(
            f"Expected grades up to {_HIGHEST:,}, found {grade} for query {query!r}. "
            "Grade on a smaller scale, such as 0 to 3, and import again."
        )
    return whole_grade(grade)
