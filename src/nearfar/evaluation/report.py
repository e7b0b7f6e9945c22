"""A Report: what was measured, of which spaces, on which data, and how sure it is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile
from nearfar.evaluation.intervals import Estimate, Floats, estimate
from nearfar.files import whole_file

FORMAT = 1
DOWN_IS_GOOD = ("alignment_loss", "uniformity_loss")
NOTHING = "\u2013"  # a dash, where there is no number
SHORT_NAMES = {  # for people; files keep the whole names
    "ndcg_at_10_score": "nDCG@10",
    "recall_at_10_score": "recall@10",
    "recall_at_100_score": "recall@100",
    "mrr_at_10_score": "MRR@10",
    "map_score": "MAP",
    "margin_score": "margin",
    "positive_above_negative_score": "P(pos>neg)",
    "alignment_loss": "alignment↓",
    "uniformity_loss": "uniformity↓",
    "judged_at_10_score": "judged@10",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure of the base and of the tuned model, on all queries or on one cohort."""

    name: str
    base: Estimate
    tuned: Estimate | None = None  # None: only one model was measured
    difference: Estimate | None = None  # tuned less base, query by query
    field: str = ""  # of the cohort; empty: all queries
    value: str = ""

    @property
    def verdict(self) -> str:
        """Return what the interval of the difference says: better, worse, or unclear."""
        change = self.difference
        if change is None or not (change.above_zero or change.below_zero):
            return "unclear"
        return "better" if change.above_zero != (self.name in DOWN_IS_GOOD) else "worse"


def paired(
    name: str,
    old: Floats,
    new: Floats,
    clusters: Sequence[str],
    *,
    span: tuple[float, float] = (0.0, 1.0),
) -> Measure:
    """Return a measure of two models on the same queries, and of their difference."""
    width = span[1] - span[0]
    return Measure(
        name=name,
        base=estimate(old, clusters, span=span),
        tuned=estimate(new, clusters, span=span),
        difference=estimate(new - old, clusters, span=(-width, width)),
    )


def _named(measures: Sequence[Measure], name: str) -> Measure:
    for found in measures:
        if found.name == name:
            return found
    raise KeyError(name)


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
        return _named(self.measures, name)


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

    def at(self, candidates: int) -> Depth:
        """Return what reading so many is worth.

        Raises:
            KeyError: so many were not measured.
        """
        for found in self.depths:
            if found.candidates == candidates:
                return found
        raise KeyError(candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All measures, with everything needed to hold them against others."""

    dataset: str  # digest
    split: str
    documents: int
    without_answer: int  # judged queries that have none, and so no score
    base: dict[str, Any]  # the space, by its choices
    tuned: dict[str, Any] | None
    negatives: str  # digest of the pinned negatives behind the margin
    settings: dict[str, Any]
    measures: tuple[Measure, ...]
    cohorts: tuple[Measure, ...]
    reranking: Reranking | None = None  # None: only retrieval was measured

    def measure(self, name: str) -> Measure:
        """Return a measure on all queries.

        Raises:
            KeyError: there is none of that name.
        """
        return _named(self.measures, name)


def headline(report: Report) -> str:
    """Say in one sentence what the report shows."""
    found = report.measure("ndcg_at_10_score")
    change = found.difference
    if change is None:
        return f"The model reaches nDCG@10 {span(found.base)}."
    over = f"over {change.n:,} queries"
    if change.clusters < change.n:
        over += f" in {change.clusters:,} groups"
    if found.verdict == "unclear":
        return f"No clear difference: nDCG@10 changes by {span(change, sign=True)} {over}."
    verb = "beats" if found.verdict == "better" else "is worse than"
    return f"The tuned model {verb} its base: nDCG@10 {span(change, sign=True)} {over}."


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
        f"{span(change, sign=True)} over {change.n:,} queries"
        f"{', too few to be sure of anything' if change.low is None else ''}.",
        f"A query takes {milliseconds(found.retrieval)} ms to retrieve, {fetching}"
        f"{milliseconds(found.reranking)} ms to rerank {most.candidates:,} candidates, at "
        f"{found.pairs_per_second:,.0f} pairs a second (median; in brackets 95 of 100 take no "
        "longer).",
        f"Of the first 10 documents {_percent(judged.base.mean)} are judged before reranking and "
        f"{_percent(judged.tuned.mean)} after: what is not judged counts as wrong.",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def milliseconds(found: Latency | None) -> str:
    """Return the median and what 95 of 100 stay within, such as "12.3 [20.1]"."""
    if found is None:
        return NOTHING
    return f"{1e3 * found.median_seconds:,.1f} [{1e3 * found.p95_seconds:,.1f}]"


def span(found: Estimate | None, *, sign: bool = False) -> str:
    """Return a mean with its interval, such as "0.464 [0.385, 0.544]"."""
    if found is None:
        return ""
    form = "+.3f" if sign else ".3f"
    interval = "" if found.low is None else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.mean:{form}}{interval}"


def write_report(report: Report, folder: Path) -> None:
    """Write report.json, whole or not at all."""
    facts = {"format": FORMAT, **asdict(report)}
    with whole_file(folder / "report.json") as part:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def read_report(folder: Path) -> Report:
    """Read the report in a folder.

    Raises:
        BadFile: there is none, it is damaged, or was written by another version.
    """
    path = folder / "report.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (found := facts.pop("format")) != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        for key in ("measures", "cohorts"):
            facts[key] = tuple(_measure(row) for row in facts[key])
        facts["reranking"] = _reranking(facts.get("reranking"))
        return Report(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{path}: expected a report ({error}). Make one with `nearfar evaluate`."
        ) from error


def _reranking(facts: Mapping[str, Any] | None) -> Reranking | None:
    if facts is None:
        return None
    latencies = {name: _latency(facts, name) for name in ("retrieval", "fetching", "reranking")}
    depths = tuple(
        Depth(
            candidates=row["candidates"],
            recall=Estimate(**row["recall"]),
            ceiling=Estimate(**row["ceiling"]),
            measures=tuple(_measure(one) for one in row["measures"]),
            fetching=_latency(row, "fetching"),
            reranking=_latency(row, "reranking"),
        )
        for row in facts["depths"]
    )
    return Reranking(**{**facts, **latencies, "asked": tuple(facts["asked"]), "depths": depths})


def _latency(facts: Mapping[str, Any], name: str) -> Latency | None:
    return Latency(**facts[name]) if facts.get(name) else None


def _measure(facts: Mapping[str, Any]) -> Measure:
    estimates = {
        name: Estimate(**facts[name]) if facts[name] else None
        for name in ("base", "tuned", "difference")
    }
    return Measure(**{**facts, **estimates})
