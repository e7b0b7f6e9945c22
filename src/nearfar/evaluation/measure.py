"""A Measure: one number of one model or of two, with its interval, and how people read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.evaluation.intervals import Estimate, Floats, estimate

_DOWN_IS_GOOD = ("_loss", "_error")
# What a metric can be for one query, where that is not 0 to 1.
_SPANS = {"margin_score": (-2.0, 2.0), "alignment_loss": (0.0, 4.0)}
# And what it is taken to be where no query seen is outside: a text's cosine with its answer, or
# with what a model takes for one, is hardly ever below 0. It halves the intervals of a few groups.
_LIKELY_SPANS = {"margin_score": (-1.0, 1.0), "alignment_loss": (0.0, 2.0)}
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
    "isotropy_score": "isotropy",
    "effective_rank_score": "eff. rank",
    "hubness_loss": "hubness↓",
    "judged_at_10_score": "judged@10",
    "context_relevance_score": "relevance",
}


def span_of(metric: str) -> tuple[float, float]:
    """Return the least and the most that a metric can be for one query."""
    return _SPANS.get(metric, (0.0, 1.0))


def likely_span(metric: str, *seen: Floats) -> tuple[float, float]:
    """Return the least and the most that an interval allows a metric to be for one query.

    Args:
        metric: its name.
        seen: its values; one outside of what is likely, and all that is possible is allowed.
    """
    least, most = _LIKELY_SPANS.get(metric, span_of(metric))
    inside = all(((least <= values) & (values <= most)).all() for values in seen)
    return (least, most) if inside else span_of(metric)


def down_is_good(metric: str) -> bool:
    """Return whether less of a metric is better, as its name says."""
    return metric.endswith(_DOWN_IS_GOOD)


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
        return "better" if change.above_zero != down_is_good(self.name) else "worse"


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


def named(measures: Sequence[Measure], name: str) -> Measure:
    """Return the measure of that name.

    Raises:
        KeyError: there is none.
    """
    for found in measures:
        if found.name == name:
            return found
    raise KeyError(name)


def span(found: Estimate | None, *, sign: bool = False) -> str:
    """Return a mean with its interval, such as "0.464 [0.385, 0.544]"."""
    if found is None:
        return ""
    form = "+.3f" if sign else ".3f"
    interval = "" if found.low is None else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.mean:{form}}{interval}"


def measure_from_json(facts: Mapping[str, Any]) -> Measure:
    """Return a measure as a report wrote it."""
    estimates = {
        name: Estimate(**facts[name]) if facts[name] else None
        for name in ("base", "tuned", "difference")
    }
    return Measure(**{**facts, **estimates})
