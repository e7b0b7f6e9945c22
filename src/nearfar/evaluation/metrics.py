"""What a ranking is worth, query by query, counted by trec_eval's own code."""

from collections.abc import Mapping, Sequence

import pytrec_eval

from nearfar.errors import BadRecord

_NAMES = {
    "ndcg_at_10_score": "ndcg_cut_10",
    "recall_at_10_score": "recall_10",
    "recall_at_100_score": "recall_100",
    "mrr_at_10_score": "recip_rank",
    "map_score": "map",
}
METRICS = tuple(_NAMES)
_MRR_PLACES = 10
_HIGHEST = 1_000_000  # grade: trec_eval keeps a counter for each, and overflows unseen


def per_query(
    rankings: Mapping[str, Sequence[str]], judged: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return every metric of every query that has a right answer.

        nDCG@10    the share of the best possible gain in the first 10 places, discount log2,
                   gain linear in the grade
        recall@k   the share of all answers that the first k places hold
        MRR@10     1 / place of the first answer, 0 if it comes after the tenth
        MAP        the mean, over all answers, of the precision at their places, 0 for an
                   answer that is not in the ranking

    Args:
        rankings: for each query, document ids, best first, without repeats. A query that is
            missing here found nothing, and counts 0.
        judged: for each query, what its documents are worth; above 0 is an answer. Grades that
            are no whole numbers are rounded, an answer to no less than 1. Queries without an
            answer have no score: they are left out, for the caller to count.

    Returns:
        For each query its metrics, 0 to 1 each, up is good.

    Raises:
        ValueError: a ranking names a document twice.
        BadRecord: a grade is above a million.

    Source: Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418; trec_eval 9.
    """
    answered = {
        query: {_safe(document): _whole(query, grade) for document, grade in grades.items()}
        for query, grades in judged.items()
        if any(grade > 0 for grade in grades.values())
    }
    scored = {query: _strictly_falling(query, rankings.get(query, ())) for query in answered}
    found = _trec_eval(answered, scored, {"ndcg_cut_10", "recall_10,100", "map"})
    first_places = {query: dict(list(run.items())[:_MRR_PLACES]) for query, run in scored.items()}
    reciprocal = _trec_eval(answered, first_places, {"recip_rank"})
    return {
        query: {
            name: {**found.get(query, {}), **reciprocal.get(query, {})}.get(theirs, 0.0)
            for name, theirs in _NAMES.items()
        }
        for query in answered
    }


def mean_scores(
    rankings: Mapping[str, Sequence[str]], judged: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return the means over queries of what a training run is checked by: a quick look."""
    scores = per_query(rankings, judged).values()
    names = ("ndcg_at_10_score", "recall_at_10_score", "mrr_at_10_score")
    return {name: sum(score[name] for score in scores) / len(scores) for name in names}


def _trec_eval(
    answered: Mapping[str, Mapping[str, int]],
    scored: Mapping[str, Mapping[str, float]],
    wanted: set[str],
) -> dict[str, dict[str, float]]:
    names = {_safe(query): query for query in answered}
    judged = {_safe(query): grades for query, grades in answered.items()}
    runs = {_safe(query): run for query, run in scored.items()}
    found = pytrec_eval.RelevanceEvaluator(judged, wanted).evaluate(runs)
    return {names[safe]: values for safe, values in found.items()}


def _safe(id_: str) -> str:
    # trec_eval ends an id at a NUL: two ids become one, and the scores are what memory held.
    return id_.replace("\\", "\\\\").replace("\0", "\\0")


def _strictly_falling(query: str, ranking: Sequence[str]) -> dict[str, float]:
    # trec_eval reads scores, as float32, and breaks ties its own way: a place is no tie.
    run = {_safe(document): float(len(ranking) - i) for i, document in enumerate(ranking)}
    if len(run) != len(ranking):
        raise ValueError(f"the ranking of query {query!r} names a document twice.")
    return run


def _whole(query: str, grade: float) -> int:
    if grade > _HIGHEST:
        raise BadRecord(
            f"Expected grades up to {_HIGHEST:,}, found {grade} for query {query!r}. "
            "Grade on a smaller scale, such as 0 to 3, and import again."
        )
    return max(round(grade), 1) if grade > 0 else 0
