"""report.html: one page that needs nothing beside itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.evaluation import pictures
from nearfar.evaluation.amounts import amount
from nearfar.evaluation.curve_pictures import curves_picture
from nearfar.evaluation.curves import told_of_curves
from nearfar.evaluation.evaluate import Evidence, Measured
from nearfar.evaluation.measure import SHORT_NAMES, span
from nearfar.evaluation.report import headline
from nearfar.evaluation.settings import Evaluation
from nearfar.evaluation.stages import milliseconds, told_of_stages
from nearfar.files import whole_file
from nearfar.pages import template

_SHOWN = 10  # queries that gained most, and that lost most
_HITS = 3


@dataclass(frozen=True, slots=True)
class _Change:
    """A query whose ranking the tuned model changed."""

    query: str
    answer: str
    base: float
    tuned: float
    base_hits: Sequence[tuple[str, bool]]
    tuned_hits: Sequence[tuple[str, bool]]


def write_page(
    evidence: Evidence,
    dataset: Dataset,
    folder: Path,
    settings: Evaluation,
    *,
    log: Path | None,
    lineage: str = "",
) -> None:
    """Write report.html, whole or not at all.

    Args:
        evidence: what was measured.
        dataset: where the texts of the examples are.
        folder: where the page will stand.
        settings: how many points the map shows, and its seed.
        log: log.jsonl of the training, if there was one.
        lineage: a picture of what the model was made of, as SVG; empty for none.
    """
    filters: dict[str, Callable[..., str]] = {
        "title_of": _title,
        "span": span,
        "milliseconds": milliseconds,
        "amount": amount,
    }
    report = evidence.report
    better, worse = _changes(evidence, dataset)
    page = template("nearfar.evaluation", "report.html", filters).render(
        report=report,
        headline=headline(report),
        queries=len(evidence.task.queries),
        curves=pictures.training_curves(_read_log(log)),
        cohorts=pictures.cohort_bars(report.cohorts),
        slices=[one for one in evidence.slices if one.verdict == "confirmed"],
        searched=len(evidence.slices),
        cost=curves_picture(evidence.curves),
        cost_told=[] if evidence.curves is None else told_of_curves(evidence.curves),
        stages=[] if report.reranking is None else told_of_stages(report.reranking),
        stages_curve=pictures.candidates_curve(report.reranking),
        histograms=pictures.similarity_histograms(evidence),
        maps=pictures.maps(evidence, settings.map_points, settings.seed),
        lineage=lineage[max(lineage.find("<svg"), 0) :],  # without the head of a file of its own
        better=better,
        worse=worse,
    )
    with whole_file(folder / "report.html") as part:
        part.write_text(page, encoding="utf-8")


def _title(name: str) -> str:
    return SHORT_NAMES.get(name, name)


def _changes(evidence: Evidence, dataset: Dataset) -> tuple[list[_Change], list[_Change]]:
    """Return the queries that gained most and those that lost most, with their first hits."""
    base, tuned, task = evidence.base, evidence.tuned, evidence.task
    if tuned is None:
        return [], []
    metric = "ndcg_at_10_score"
    gains = tuned.values[metric] - base.values[metric]
    order = sorted(range(len(gains)), key=lambda place: -gains[place])
    best = [place for place in order[:_SHOWN] if gains[place] > 0]
    worst = [place for place in order[::-1][:_SHOWN] if gains[place] < 0]
    needed = {
        id_
        for place in (*best, *worst)
        for model in (base, tuned)
        for id_ in model.rankings[task.queries[place].id][:_HITS]
    } | {_answers(evidence, place)[0] for place in (*best, *worst)}
    texts = {d.id: _first_words(d.content) for d in dataset.documents() if d.id in needed}

    def change(place: int) -> _Change:
        answers = _answers(evidence, place)
        query = task.queries[place]

        def hits(model: Measured) -> list[tuple[str, bool]]:
            return [(texts[id_], id_ in answers) for id_ in model.rankings[query.id][:_HITS]]

        before, after = float(base.values[metric][place]), float(tuned.values[metric][place])
        return _Change(query.content, texts[answers[0]], before, after, hits(base), hits(tuned))

    return [change(place) for place in best], [change(place) for place in worst]


def _answers(evidence: Evidence, place: int) -> list[str]:
    grades = evidence.task.judged[evidence.task.queries[place].id]
    return sorted((id_ for id_, grade in grades.items() if grade > 0), key=lambda i: -grades[i])


def _first_words(content: str) -> str:
    line = " ".join(content.split())
    return line if len(line) <= 180 else f"{line[:177]}..."


def _read_log(log: Path | None) -> list[Mapping[str, Any]]:
    if log is None or not log.is_file():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
