"""ContextRelevance: how much of what was retrieved for a query answers it, by a judge.

The judge is a reranker whose logits are calibrated, or any function that says, for each document,
from 0 to 1 how relevant it is, or NaN: a language model, asked by whoever has one.

Shapes: Q queries, N documents of one query, R repeats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadModel, require
from nearfar.evaluation.intervals import Estimate, estimate
from nearfar.model.calibration import Calibration
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Of a query, its documents, and the number of the repeat, from 0: what each is worth, 0 to 1, and
# NaN where nothing was said.
Judge = Callable[[str, Sequence[str], int], Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRelevance:
    """Of the lists that were retrieved for some queries."""

    mean: Estimate  # over the queries
    per_query: Floats  # (Q,) the mean over its list, 0 to 1; of an empty list 0; NaN: not judged
    spreads: Floats | None  # (Q,) deviation of that mean over repeats; None: asked once
    empty: int  # queries that nothing was retrieved for
    unsaid: int  # times that the judge said nothing of a document: it is in no mean

    @property
    def judged(self) -> Bools:
        """Return of which queries something was said in every repeat, (Q,)."""
        return ~np.isnan(self.per_query)

    @property
    def spread(self) -> float | None:
        """Return how far a repeat strays, on an average query; None: asked once.

        With 5 repeats of one query the mean strays by this / sqrt(5).
        """
        if self.spreads is None:
            return None
        return float(np.sqrt((self.spreads[self.judged] ** 2).mean()))


def reranker_judge(reranker: Reranker, calibration: Calibration) -> Judge:
    """Return the judge that says the calibrated probability that a document answers.

    Raises:
        BadModel: the calibration is that of another reranker.
    """
    if calibration.reranker != reranker.fingerprint:
        raise BadModel(
            f"Expected the calibration of reranker {reranker.fingerprint}, found that of "
            f"{calibration.reranker}. Probabilities hold for one model alone: fit it again."
        )

    def judge(query: str, documents: Sequence[str], repeat: int) -> list[float]:
        found: list[float] = calibration.probability(reranker.score(query, documents)).tolist()
        return found

    return judge


def context_relevance(
    judge: Judge,
    queries: Sequence[str],
    contexts: Sequence[Sequence[str]],
    clusters: Sequence[str],
    *,
    repeats: int = 1,
    progress: Progress = silent,
) -> ContextRelevance:
    """Ask a judge how relevant what was retrieved is.

        relevance of a query = mean over repeats of the mean over its documents
        spread of a query = deviation (R - 1) over repeats of the mean over its documents

    Args:
        judge: says 0 to 1 for each document, or NaN: what it passes over is in no mean, and a
            query is left out, and counted, where a repeat passes over all of its documents.
        queries: (Q,) texts.
        contexts: (Q,) the texts that were retrieved for each.
        clusters: (Q,) what each query hangs together with.
        repeats: how often the same is asked; a judge with dice shows its spread from 2 on.
        progress: told after every query.

    Raises:
        BadModel: the judge said what is not from 0 to 1, or nothing of any document.
        BadSetting: repeats are below 1.
        ValueError: there is no query, lengths differ, or the judge left out a document.
    """
    require(repeats >= 1, "repeats", "1 or more", repeats)
    if not len(queries) == len(contexts) == len(clusters):
        raise ValueError(f"{len(queries)} queries need as many contexts and clusters.")
    means = np.zeros((len(queries), repeats))  # (Q, R)
    unsaid = 0
    for row, (query, documents) in enumerate(zip(queries, contexts, strict=True)):
        for repeat in range(repeats if documents else 0):
            said = _judged(judge, query, documents, repeat)
            given = said[~np.isnan(said)]
            unsaid += len(said) - len(given)
            means[row, repeat] = given.mean() if len(given) else np.nan
        progress("judging contexts", row + 1, len(queries))
    per_query: Floats = means.mean(1)
    judged = np.flatnonzero(~np.isnan(per_query)).tolist()
    if not judged:
        raise BadModel(
            f"Expected from the judge a relevance from 0 to 1, found none for any of {unsaid:,} "
            "questions. Look at what it answers, or take another judge."
        )
    return ContextRelevance(
        mean=estimate(per_query[judged], [clusters[row] for row in judged], span=(0.0, 1.0)),
        per_query=per_query,
        spreads=means.std(1, ddof=1) if repeats > 1 else None,
        empty=sum(not documents for documents in contexts),
        unsaid=unsaid,
    )


def _judged(judge: Judge, query: str, documents: Sequence[str], repeat: int) -> Floats:
    said = np.asarray(judge(query, documents, repeat), dtype=np.float64)
    if said.shape != (len(documents),):
        raise ValueError(f"the judge said {said.shape} of {len(documents)} documents.")
    if ((said < 0) | (said > 1)).any():
        wrong = said[(said < 0) | (said > 1)][0]
        raise BadModel(
            f"Expected from the judge a relevance from 0 to 1, found {wrong:g} for the query "
            f"{query[:80]!r}. Calibrate a reranker, or scale what a language model says."
        )
    return said
