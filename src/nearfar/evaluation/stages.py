"""Two stages in numbers: what retrieval lost, what reranking won, and what fits into a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nearfar.evaluation.amounts import amount
from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import NOTHING, Measure, measure_from_json, named, span


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long one query takes in one stage, asked alone."""

    median_seconds: float
    p95_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What it is worth to read so many candidates of each query; the others follow unread."""

    candidates: int
    recall: Estimate  # share of the answers that are among them
    ceiling: Estimate  # nDCG@10 of the best order of them: no reranker can do better
    measures: tuple[Measure, ...]  # base: retrieval alone; tuned: these candidates reranked
    fetching: Latency | None = None  # of the texts of so many; None: it was not timed
    reranking: Latency | None = None  # of so many; None: it was not timed

    def measure(self, name: str) -> Measure:
        """Return a measure of both stages.

        Raises:
            KeyError: there is none of that name.
        """
        return named(self.measures, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """How many candidates of a query are read where time decides."""

    mean: float
    median: float
    p95: float  # 95 of 100 queries have no more read


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is reached where the answer to a query may take so long, retrieval included."""

    seconds: float
    read: Reads
    stopped: float  # share of the queries of which some candidates were left unread, 0 to 1
    latency: Latency  # of whole answers, in that time
    measures: tuple[Measure, ...]  # base: retrieval alone; tuned: what was read reranked

    def measure(self, name: str) -> Measure:
        """Return a measure of both stages.

        Raises:
            KeyError: there is none of that name.
        """
        return named(self.measures, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking:
    """Two stages on the same queries: what retrieval lost, and what reranking won."""

    reranker: str  # fingerprint
    words_too: bool  # whether BM25 helped to find candidates
    asked: tuple[int, ...]  # numbers of candidates that were asked for; at most what was found
    depths: tuple[Depth, ...]  # these and others between them, from 0: retrieval alone
    retrieval: Latency  # the query encoded and its candidates found
    reranking: Latency  # of the most candidates, as all three times here
    pairs_per_second: float
    fetching: Latency | None = None  # their texts; None: in a report from before it was timed
    lexical_weight: float | None = None  # of BM25, 0 to 1; None: by ranks, or meaning alone
    budgets: tuple[Budget, ...] = ()  # times that were asked for, ascending

    def at(self, candidates: int) -> Depth:
        """Return what reading so many is worth.

        Raises:
            KeyError: so many were not measured.
        """
        for found in self.depths:
            if found.candidates == candidates:
                return found
        raise KeyError(candidates)


def told_of_stages(found: Reranking) -> list[str]:
    """Say in a few sentences what retrieval lost, what reranking won, and what it costs."""
    most = found.at(max(found.asked))
    ndcg, judged = most.measure("ndcg_at_10_score"), most.measure("judged_at_10_score")
    change = ndcg.difference
    assert change is not None, "one of two stages is missing"
    assert judged.tuned is not None, "one of two stages is missing"
    word = {"better": "lifts", "worse": "lowers", "unclear": "does not clearly change"}
    by = "with words" if found.words_too else "by meaning alone"
    if found.lexical_weight is not None:
        by += f" (weight {found.lexical_weight:g})"
    fetching = "" if found.fetching is None else f"{milliseconds(found.fetching)} ms to fetch and "
    return [
        f"Retrieval {by} leaves {_percent(1 - most.recall.mean)} of the answers out of the first "
        f"{most.candidates:,} candidates: nDCG@10 can reach {span(most.ceiling)}, and is "
        f"{span(ndcg.base)} before reranking.",
        f"Reranking them {word[ndcg.verdict]} it: {span(ndcg.tuned)}, "
        f"{span(change, sign=True)} over {amount(change.n, 'query')}"
        f"{', too few to be sure of anything' if change.low is None else ''}.",
        f"A query takes {milliseconds(found.retrieval)} ms to retrieve, {fetching}"
        f"{milliseconds(found.reranking)} ms to rerank {most.candidates:,} candidates, at "
        f"{found.pairs_per_second:,.0f} pairs a second (median; in brackets 95 of 100 take no "
        "longer).",
        f"Of the first 10 documents {_percent(judged.base.mean)} are judged before reranking and "
        f"{_percent(judged.tuned.mean)} after: what is not judged counts as wrong.",
        *(_told_of_budget(budget, max(found.asked)) for budget in found.budgets),
    ]


def _told_of_budget(found: Budget, most: int) -> str:
    ndcg, read = found.measure("ndcg_at_10_score"), found.read
    return (
        f"Within {1e3 * found.seconds:,g} ms a query, retrieval included, {read.mean:,.1f} of "
        f"{most:,} candidates are reranked (median {read.median:,g}; {_percent(found.stopped)} of "
        f"the queries are stopped before the last): nDCG@10 {span(ndcg.tuned)}, "
        f"{span(ndcg.difference, sign=True)} to retrieval alone. The answers took "
        f"{milliseconds(found.latency)} ms."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def milliseconds(found: Latency | None) -> str:
    """Return the median and what 95 of 100 stay within, such as "12.3 [20.1]"."""
    if found is None:
        return NOTHING
    return f"{1e3 * found.median_seconds:,.1f} [{1e3 * found.p95_seconds:,.1f}]"


def reranking_from_json(facts: Mapping[str, Any] | None) -> Reranking | None:
    """Return both stages as a report wrote them; None where it measured only retrieval."""
    if facts is None:
        return None
    latencies = {name: _latency(facts, name) for name in ("retrieval", "fetching", "reranking")}
    depths = tuple(
        Depth(
            candidates=row["candidates"],
            recall=Estimate(**row["recall"]),
            ceiling=Estimate(**row["ceiling"]),
            measures=tuple(measure_from_json(one) for one in row["measures"]),
            fetching=_latency(row, "fetching"),
            reranking=_latency(row, "reranking"),
        )
        for row in facts["depths"]
    )
    budgets = tuple(
        Budget(
            seconds=row["seconds"],
            read=Reads(**row["read"]),
            stopped=row["stopped"],
            latency=Latency(**row["latency"]),
            measures=tuple(measure_from_json(one) for one in row["measures"]),
        )
        for row in facts.get("budgets", ())
    )
    lists = {"asked": tuple(facts["asked"]), "depths": depths, "budgets": budgets}
    return Reranking(**{**facts, **latencies, **lists})


def _latency(facts: Mapping[str, Any], name: str) -> Latency | None:
    return Latency(**facts[name]) if facts.get(name) else None
