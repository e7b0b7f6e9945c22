"""What the walk and the commands ask of the evaluation room."""

import shutil
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nearfar.data.dataset import Dataset
from nearfar.errors import require
from nearfar.evaluation.budgeted import require_budgets
from nearfar.evaluation.embedded import dev_scores, read_task
from nearfar.evaluation.evaluate import (
    Evidence,
    evaluate,
    scores_of,
    with_budgets,
    with_reranker,
    write_per_query,
)
from nearfar.evaluation.page import write_page
from nearfar.evaluation.report import Report, write_report
from nearfar.evaluation.reranked import require_depths
from nearfar.evaluation.scores import Scores, write_scores
from nearfar.evaluation.settings import Evaluation
from nearfar.lineage.picture import draw_lineage
from nearfar.lineage.walk import lineage
from nearfar.lineage.workspace import scan
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.pipeline.dealing import dealing
from nearfar.pipeline.remembering import Remembering
from nearfar.progress import Progress, silent
from nearfar.release.two_stages import reranked_scores
from nearfar.search.candidates import Fusion, find_candidates
from nearfar.search.documents_file import StoredDocuments, write_documents
from nearfar.search.index import Index, contents
from nearfar.search.lexical_file import LexicalIndex, write_lexical
from nearfar.search.reranked import retrieve_then_rerank
from nearfar.training.train import Check

SCORES, BASE_SCORES = "scores", "base-scores"  # of the last model, and of what it is held against
RERANKED_SCORES = "reranked-scores"  # of the last model with the reranker behind it
CANDIDATES = (50, 100, 200)  # of each query; quality is measured at each number


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStage:
    """Who reads the candidates that the last model finds."""

    reranker: Reranker
    candidates: tuple[int, ...] = CANDIDATES
    lexical: bool = False  # whether BM25 helps to find them
    lexical_weight: float | None = None  # how much it counts, 0 to 1; None: fused by ranks
    budgets: tuple[float, ...] = ()  # seconds an answer may take; quality is measured within each

    def __post_init__(self) -> None:
        require_depths(self.candidates)
        require_budgets(self.budgets)
        if self.lexical_weight is not None:
            holds = self.lexical and 0 <= self.lexical_weight <= 1
            require(holds, "lexical_weight", "between 0 and 1, with lexical", self.lexical_weight)


def dev_check(dataset: Dataset, settings: Evaluation) -> Check | None:
    """Return the check of a training run: a part of dev, the same each time; None without dev.

    The processes of a training share the texts: every one of them must ask.
    """
    if not dataset.manifest["splits"].get("dev"):
        return None
    task = read_task(dataset, "dev", queries=settings.dev_queries, documents=settings.dev_documents)
    return lambda encoder: dev_scores(dealing(encoder), dataset, task)


def evaluate_into(
    folder: Path,
    dataset: Dataset,
    models: tuple[Encoder, Encoder | None],
    settings: Evaluation,
    *,
    names: tuple[str, str] = ("base", "tuned"),
    second: SecondStage | None = None,
    log: Path | None = None,
    model: Path | None = None,
    trained: AbstractSet[str] | None = None,
    progress: Progress = silent,
) -> Report:
    """Measure a base and, if there is one, what was made of it; write report and page.

    Args:
        folder: where they will stand.
        dataset: whose split is measured.
        models: the base and what was made of it.
        settings: how.
        names: what people call the two; they stand in the scores that a gate reads.
        second: what reads the candidates of the last model, measured on the same queries.
        log: log.jsonl of the training, for its curves.
        model: the folder of what was made, for the picture of its lineage.
        trained: content ids of what it has learned from, for `derived.new_since_training`.
        progress: told while texts are embedded.
    """
    evidence = evaluate(*models, dataset, settings, trained=trained, progress=progress)
    if second is not None:
        evidence = _with_second_stage(evidence, models[1] or models[0], dataset, second, progress)
    folder.mkdir(parents=True, exist_ok=True)
    write_per_query(evidence, folder)
    last = names[evidence.tuned is not None]
    base = None if evidence.tuned is None else scores_of(evidence, evidence.base, names[0])
    both = None
    if second is not None:
        both = reranked_scores(evidence, f"{last} + reranker {second.reranker.fingerprint[:8]}")
    write_scores(scores_of(evidence, evidence.last, last), folder / SCORES, replace=True)
    _write_or_forget(base, folder / BASE_SCORES)
    _write_or_forget(both, folder / RERANKED_SCORES)
    picture = "" if model is None else _picture(model, folder)
    write_page(evidence, dataset, folder, settings, log=log, lineage=picture)
    write_report(evidence.report, folder)
    return evidence.report


def _write_or_forget(scores: Scores | None, folder: Path) -> None:
    """Write scores; where there are none, take away those of an earlier report."""
    if scores is not None:
        write_scores(scores, folder, replace=True)
    elif (folder / "scores.json").is_file():
        shutil.rmtree(folder)


def _with_second_stage(
    evidence: Evidence,
    encoder: Encoder,
    dataset: Dataset,
    second: SecondStage,
    progress: Progress,
) -> Evidence:
    documents = evidence.last.embedded.documents
    if isinstance(encoder, Remembering):  # what is remembered takes no time
        encoder = encoder.behind
    with TemporaryDirectory(prefix="nearfar-candidates-") as place:
        # What `nearfar index` writes too: the same work is timed as that of a search.
        fusion, table = None, Path(place) / "documents.parquet"
        with write_documents(table) as append:
            for batch in dataset.batches("documents"):
                append(batch)
        stored = StoredDocuments(table)
        if second.lexical:
            folder = Path(place) / "lexical"
            write_lexical(folder, lambda: contents(dataset), progress=progress)
            words = LexicalIndex(folder, len(documents))
            fusion = Fusion.by_lexical_weight(words, second.lexical_weight)

        most = max(second.candidates)

        def retrieve(text: str) -> Sequence[int]:
            vectors = encoder.encode([text], "query")
            (found,) = find_candidates(documents, vectors, [text], most, fusion=fusion)
            return [one.row for one in found]

        def fetch(rows: Sequence[int]) -> list[str]:
            found = stored.fetch(rows)
            return [found[row].content for row in rows]

        index = Index(Path(place), encoder.space, documents, stored, {})

        def answer(text: str, seconds: float) -> int:
            found = retrieve_then_rerank(
                index, encoder, second.reranker, text, candidates=most, budget_seconds=seconds,
                fusion=fusion,
            )  # fmt: skip
            return found.reranked

        evidence = with_reranker(
            evidence, dataset, retrieve, fetch, second.reranker, second.candidates,
            words_too=second.lexical, lexical_weight=second.lexical_weight, progress=progress,
        )  # fmt: skip
        if not second.budgets:
            return evidence
        return with_budgets(evidence, dataset, answer, second.budgets, progress=progress)


def _picture(model: Path, folder: Path) -> str:
    """Draw what a model was made of; what lies beside it in the run's home is found."""
    with TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "lineage.svg"
        draw_lineage(lineage(model, scan(model.parent.parent)), path)
        return path.read_text(encoding="utf-8")
