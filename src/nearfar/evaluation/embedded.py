"""A split of a dataset in one model's space: what all measures start from.

Shapes: Q queries, C documents, D dimensions.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadRecord
from nearfar.evaluation.judged_pairs import given_grades
from nearfar.evaluation.metrics import mean_scores
from nearfar.fingerprint import content_id
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Query, Split
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

Judged = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, of what, and what is known to be right."""

    queries: tuple[Query, ...]  # with at least one answer
    document_ids: tuple[str, ...]
    row_of: Mapping[str, int]  # of a document id
    judged: Judged  # what is called neither (NaN) is not in it: as if nobody had judged it
    without_answer: int  # queries that were judged and have no answer: they cannot be scored

    def best_answer(self, query_id: str) -> str:
        """Return the id of its best-graded answer; among equals, the first by name."""
        return min(self.judged[query_id].items(), key=lambda item: (-item[1], item[0]))[0]


@dataclass(frozen=True, slots=True)
class Embedded:
    """The queries and documents of a task as unit vectors."""

    task: Task
    queries: Float[Tensor, "Q D"]
    documents: Float[Tensor, "C D"]


def read_task(
    dataset: Dataset, split: Split, *, queries: int | None = None, documents: int | None = None
) -> Task:
    """Return the task of a split, or a part of it that is the same each time.

    A judgment that calls a document neither (grade NaN: scored, and judged by nobody) is passed
    over. The document stays among those that may be found and, as all that is not judged, takes a
    place in a ranking and gains nothing there; it is never chosen as a wrong one (`never_wrong`).

    Args:
        dataset: where it comes from.
        split: whose judgments count.
        queries: at most so many, chosen by the hash of their id.
        documents: at most so many, but all that are judged for these queries; the others are
            chosen likewise. None: every document of the dataset, of whatever split.

    Raises:
        BadRecord: the split has no query with an answer.
    """
    judged: dict[str, dict[str, float]] = {}
    for (query_id, document_id), (grade, _) in given_grades(dataset, split).items():
        judged.setdefault(query_id, {})[document_id] = grade
    answered = [query for query, grades in judged.items() if max(grades.values()) > 0]
    if not answered:
        raise BadRecord(
            f"{dataset.folder}: expected queries with an answer in the {split} split, found "
            f"{dataset.manifest['splits']}. Import more, or choose evaluation.split."
        )
    chosen = set(_by_hash(answered, queries))
    kept = {query: judged[query] for query in chosen}
    needed = {document for grades in kept.values() for document in grades}
    ids = dataset.table("documents", ["id"])["id"].to_pylist()
    if documents is not None:
        others = _by_hash([i for i in ids if i not in needed], max(documents - len(needed), 0))
        wanted = needed | set(others)
        ids = [id_ for id_ in ids if id_ in wanted]
    return Task(
        queries=tuple(query for query in dataset.queries() if query.id in chosen),
        document_ids=tuple(ids),
        row_of={id_: row for row, id_ in enumerate(ids)},
        judged=kept,
        without_answer=len(judged) - len(answered),
    )


def never_wrong(dataset: Dataset, task: Task) -> dict[str, set[str]]:
    """Return, of each query, the documents that must not be held against a model.

    They are its answers, in whatever split, and what is called neither (grade NaN), unless someone
    has judged it too.
    """
    answers, neither, wrong = ({query.id: set[str]() for query in task.queries} for _ in range(3))
    for judgment in dataset.judgments():
        if judgment.query_id in answers:
            unsaid = math.isnan(judgment.grade)
            kind = neither if unsaid else answers if judgment.grade > 0 else wrong
            kind[judgment.query_id].add(judgment.document_id)
    return {id_: own | (neither[id_] - wrong[id_]) for id_, own in answers.items()}


def embed(
    encoder: Encoder, dataset: Dataset, task: Task, *, progress: Progress = silent
) -> Embedded:
    """Encode the queries and documents of a task.

    Raises:
        BadModel: a vector holds what is no number.
    """
    texts = [query.content for query in task.queries]
    queries = unit_numbers(encoder.encode(texts, "query", progress=progress), texts)
    documents = torch.empty(len(task.document_ids), queries.shape[1])
    done = 0
    for rows, contents in _contents(dataset, task.row_of):
        documents[rows] = unit_numbers(encoder.encode(contents, "document"), contents)
        done += len(rows)
        progress("encoding documents", done, len(task.document_ids))
    return Embedded(task, queries, documents)


def unit_numbers(vectors: Float[Tensor, "N D"], texts: Sequence[str]) -> Float[Tensor, "N D"]:
    """Scale the vector of each text to length 1.

    Raises:
        BadModel: one of them holds NaN or infinity; names its text.
    """
    wrong = (~vectors.isfinite().all(1)).nonzero().squeeze(1)
    if len(wrong):
        many = "vector" if len(texts) == 1 else "vectors"
        raise BadModel(
            f"Expected vectors that are numbers, found NaN or infinity in {len(wrong):,} of "
            f"{len(texts):,} {many}, the first of {texts[int(wrong[0])][:80]!r}. The model's "
            "weights may be damaged, or its precision too low for them: load it in float32, or "
            "train it again."
        )
    return unit(vectors)


def rankings(embedded: Embedded, depth: int) -> dict[str, list[str]]:
    """Return the ids of the nearest documents of each query, best first."""
    ids = embedded.task.document_ids
    _, rows = nearest(embedded.queries, embedded.documents, depth)
    return {
        query.id: [ids[row] for row in found]
        for query, found in zip(embedded.task.queries, rows.tolist(), strict=True)
    }


def dev_scores(encoder: Encoder, dataset: Dataset, task: Task) -> dict[str, float]:
    """Return the mean metrics of a small task: a quick look, without intervals."""
    return mean_scores(rankings(embed(encoder, dataset, task), 10), task.judged)


def contents_of(dataset: Dataset, task: Task) -> list[str]:
    """Return the texts of a small task's documents, in its order."""
    found = [""] * len(task.document_ids)
    for rows, contents in _contents(dataset, task.row_of):
        for row, content in zip(rows.tolist(), contents, strict=True):
            found[row] = content
    return found


def _by_hash(ids: Collection[str], most: int | None) -> list[str]:
    return sorted(ids, key=content_id)[:most]


def _contents(dataset: Dataset, row_of: Mapping[str, int]) -> Iterator[tuple[Tensor, list[str]]]:
    """Yield rows and contents of the wanted documents, some thousand at a time."""
    for batch in dataset.batches("documents", ["id", "content"]):
        pairs = [
            (row_of[id_], content)
            for id_, content in zip(
                batch["id"].to_pylist(), batch["content"].to_pylist(), strict=True
            )
            if id_ in row_of
        ]
        if pairs:
            rows, contents = zip(*pairs, strict=True)
            yield torch.tensor(rows), list(contents)
