"""The margin between right and wrong: on pinned negatives, the same for every model.

Shapes: Q queries, N negatives a query.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from nearfar.data.dataset import Dataset
from nearfar.evaluation.embedded import Embedded, Task
from nearfar.fingerprint import content_id, fingerprint

Floats = npt.NDArray[np.float64]

HARD, FAR = 8, 8  # negatives a query: alike in words, and any
_MOST_DOCUMENTS = 20_000  # looked at for words in common; of more, a part chosen by hash


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosines of each query with one answer and with its negatives."""

    positive: Floats  # (Q,) with the query's best-graded answer
    negative: Floats  # (Q, N)

    @property
    def margins(self) -> Floats:
        """Return, of each query, the answer's cosine less the mean of its negatives' cosines."""
        found: Floats = self.positive - self.negative.mean(1)
        return found

    @property
    def wins(self) -> Floats:
        """Return, of each query, how many of its negatives the answer beats, 0 to 1."""
        found: Floats = (self.positive[:, None] > self.negative).mean(1)
        return found


def pin_negatives(dataset: Dataset, task: Task, *, seed: int) -> Mapping[str, tuple[str, ...]]:
    """Choose the negatives of each query without asking any model.

    Half are the documents that share most rare words with the query (TF-IDF), half are any,
    chosen by a hash: none of them is judged an answer. A set chosen by one of the models to
    be compared would be hardest for that one.
    """
    by_hash = sorted(task.document_ids, key=lambda id_: content_id(f"{seed} {id_}"))
    pool = by_hash[:_MOST_DOCUMENTS]
    wanted = set(pool)
    contents = {d.id: d.content for d in dataset.documents() if d.id in wanted}
    vectoriser = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    documents = vectoriser.fit_transform([contents[id_] for id_ in pool])
    queries = vectoriser.transform([query.content for query in task.queries])
    pinned = {}
    for place, query in enumerate(task.queries):
        scores = (documents @ queries[place].T).toarray()[:, 0]
        answers = {id_ for id_, grade in task.judged[query.id].items() if grade > 0}
        near = (pool[row] for row in np.argsort(-scores, kind="stable"))
        hard = _first(near, HARD, answers)
        start = int(content_id(f"{seed} {query.id}"), 16) % len(pool)
        others = (pool[(start + i) % len(pool)] for i in range(len(pool)))
        pinned[query.id] = (*hard, *_first(others, FAR, answers | set(hard)))
    return pinned


def digest(pinned: Mapping[str, tuple[str, ...]]) -> str:
    """Return the name of a set of negatives."""
    return fingerprint({query: list(ids) for query, ids in pinned.items()})


def similarities(embedded: Embedded, pinned: Mapping[str, tuple[str, ...]]) -> Similarities:
    """Return the cosines of the answers and of the pinned negatives."""
    task = embedded.task
    best = [max(task.judged[q.id].items(), key=lambda item: item[1])[0] for q in task.queries]
    answers = torch.tensor([task.row_of[id_] for id_ in best])
    fewest = min(len(pinned[q.id]) for q in task.queries)
    rows = torch.tensor([[task.row_of[id_] for id_ in pinned[q.id][:fewest]] for q in task.queries])
    positive = (embedded.queries * embedded.documents[answers]).sum(1)
    negative = torch.einsum("qd,qnd->qn", embedded.queries, embedded.documents[rows])
    return Similarities(positive.double().numpy(), negative.double().numpy())


def _first(ids: Iterable[str], count: int, without: AbstractSet[str]) -> list[str]:
    found: list[str] = []
    for id_ in ids:
        if len(found) == count:
            break
        if id_ not in without:
            found.append(id_)
    return found
