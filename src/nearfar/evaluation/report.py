"""A Report: what was measured, of which spaces, on which data, and how sure it is."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile
from nearfar.evaluation.intervals import Estimate
from nearfar.files import whole_file

FORMAT = 1
DOWN_IS_GOOD = ("alignment_loss", "uniformity_loss")
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

    def measure(self, name: str) -> Measure:
        """Return a measure on all queries.

        Raises:
            KeyError: there is none of that name.
        """
        for found in self.measures:
            if found.name == name:
                return found
        raise KeyError(name)


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
        return Report(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{path}: expected a report ({error}). Make one with `nearfar evaluate`."
        ) from error


def _measure(facts: Mapping[str, Any]) -> Measure:
    estimates = {
        name: Estimate(**facts[name]) if facts[name] else None
        for name in ("base", "tuned", "difference")
    }
    return Measure(**{**facts, **estimates})
