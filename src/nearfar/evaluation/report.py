"""A Report: what was measured, of which spaces, on which data, and how sure it is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile
from nearfar.evaluation.amounts import amount
from nearfar.evaluation.measure import Measure, measure_from_json, named, span
from nearfar.evaluation.stages import Reranking, reranking_from_json
from nearfar.files import whole_file

FORMAT = 1


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
    slices: tuple[dict[str, Any], ...] = ()  # where the tuned model loses most, and how surely
    curves: dict[str, Any] | None = None  # quality against dimension and precision, if measured
    reranking: Reranking | None = None  # None: only retrieval was measured

    def measure(self, name: str) -> Measure:
        """Return a measure on all queries.

        Raises:
            KeyError: there is none of that name.
        """
        return named(self.measures, name)


def headline(report: Report) -> str:
    """Say in one sentence what the report shows."""
    found = report.measure("ndcg_at_10_score")
    change = found.difference
    if change is None:
        return f"The model reaches nDCG@10 {span(found.base)}."
    over = f"over {amount(change.n, 'query')}"
    if change.clusters < change.n:
        over += f" in {amount(change.clusters, 'group')}"
    if found.verdict == "unclear":
        return f"No clear difference: nDCG@10 changes by {span(change, sign=True)} {over}."
    verb = "beats" if found.verdict == "better" else "is worse than"
    return f"The tuned model {verb} its base: nDCG@10 {span(change, sign=True)} {over}."


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
            facts[key] = tuple(measure_from_json(row) for row in facts[key])
        facts["slices"] = tuple(facts.get("slices", ()))
        facts["reranking"] = reranking_from_json(facts.get("reranking"))
        return Report(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{path}: expected a report ({error}). Make one with `nearfar evaluate`."
        ) from error
