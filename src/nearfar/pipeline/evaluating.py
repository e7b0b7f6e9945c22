"""What the walk and the commands ask of the evaluation room."""

from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.evaluation.embedded import dev_scores, read_task
from nearfar.evaluation.evaluate import evaluate, write_per_query
from nearfar.evaluation.page import write_page
from nearfar.evaluation.report import Report, write_report
from nearfar.evaluation.settings import Evaluation
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.training.train import Check


def dev_check(dataset: Dataset, settings: Evaluation) -> Check | None:
    """Return the check of a training run: a part of dev, the same each time; None without dev."""
    if not dataset.manifest["splits"].get("dev"):
        return None
    task = read_task(dataset, "dev", queries=settings.dev_queries, documents=settings.dev_documents)
    return lambda encoder: dev_scores(encoder, dataset, task)


def evaluate_into(
    folder: Path,
    dataset: Dataset,
    models: tuple[Encoder, Encoder | None],
    settings: Evaluation,
    *,
    log: Path | None = None,
    progress: Progress = silent,
) -> Report:
    """Measure a base and, if there is one, what was made of it; write report and page."""
    evidence = evaluate(*models, dataset, settings, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    write_per_query(evidence, folder)
    write_page(evidence, dataset, folder, settings, log=log)
    write_report(evidence.report, folder)
    return evidence.report
