"""What a cross-encoder in training is checked on, and calibrated on when it is done.

Shapes: P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.evaluation.embedded import Task, contents_of, never_wrong, read_task
from nearfar.evaluation.metrics import mean_scores
from nearfar.evaluation.settings import Evaluation
from nearfar.model.calibration import Calibration, calibrate
from nearfar.model.reranker import Reranker
from nearfar.pipeline.dealing import score_together
from nearfar.search.lexical_file import LexicalIndex, best_rows, write_lexical


@dataclass(frozen=True, slots=True)
class DevPairs:
    """Queries of dev, each with its answers and documents that are hard to tell from them.

    BM25 chooses these: no model has a say in what it is measured on. What nobody judged counts as
    wrong. A document that is called neither (grade NaN), or that answers the query in another
    split, is in no pair: it is neither ranked nor calibrated on, and another takes its place.
    """

    task: Task
    documents: Sequence[str]  # texts, in the task's order
    pairs: Int[Tensor, "P 2"]  # places of a query and of a document
    answers: Bool[Tensor, " P"]

    def check(self, reranker: Reranker) -> dict[str, float]:
        """Return the mean metrics of the order that a reranker gives: the check of a training.

        The processes of a training share the pairs: every one of them must ask.
        """
        rankings: dict[str, list[str]] = {query.id: [] for query in self.task.queries}
        logits = score_together(reranker, self._queries, self.documents, self.pairs)
        for place in logits.argsort(descending=True, stable=True).tolist():
            query, document = self.pairs[place].tolist()
            rankings[self.task.queries[query].id].append(self.task.document_ids[document])
        return mean_scores(rankings, self.task.judged)

    def calibration(self, reranker: Reranker) -> Calibration:
        """Return what makes its logits probabilities, for documents that BM25 finds.

        The process that asks reads all pairs.

        Raises:
            BadRecord: all pairs are answers, or it orders them no better than chance.
        """
        logits = reranker.score_pairs(self._queries, self.documents, self.pairs)
        return calibrate(logits, self.answers.double(), reranker=reranker.fingerprint)

    @property
    def _queries(self) -> list[str]:
        return [query.content for query in self.task.queries]


def read_dev_pairs(dataset: Dataset, settings: Evaluation) -> DevPairs | None:
    """Return the pairs of a part of dev, the same each time; None without dev."""
    if not dataset.manifest["splits"].get("dev"):
        return None
    task = read_task(dataset, "dev", queries=settings.dev_queries, documents=settings.dev_documents)
    documents = contents_of(dataset, task)
    spared = never_wrong(dataset, task)
    found: list[tuple[int, int]] = []
    answers: list[bool] = []
    with TemporaryDirectory(prefix="nearfar-words-") as place:
        folder = Path(place) / "lexical"
        write_lexical(folder, lambda: documents)
        index = LexicalIndex(folder, len(documents))
        for row, query in enumerate(task.queries):
            judged = task.judged[query.id].items()
            own = {task.row_of[id_] for id_, grade in judged if grade > 0}
            aside = {task.row_of[id_] for id_ in spared[query.id] if id_ in task.row_of} - own
            near = best_rows(index.scores(query.content), settings.dev_candidates + len(aside))
            kept = [document for document in near if document not in aside]
            # In the order of the documents: that of BM25 would break a reranker's ties.
            here = sorted(own | set(kept[: settings.dev_candidates]))
            found += [(row, document) for document in here]
            answers += [document in own for document in here]
    return DevPairs(task, documents, torch.tensor(found), torch.tensor(answers))
