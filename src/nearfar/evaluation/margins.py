"""The margin between right and wrong: on pinned negatives, the same for every model.

Shapes: Q queries, N negatives a query.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.evaluation.embedded import Embedded, Task, never_wrong
from nearfar.fingerprint import content_id, fingerprint

Floats = npt.NDArray[np.float64]

HARD, FAR = 8, 8  # negatives a query: alike in words, and any
_MOST_DOCUMENTS = 20_000  # looked at for words in common; of more, a part chosen by hash


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosines of each query with one answer and with its negatives."""

    positive: Floats  # (Q,) with the query's best-graded answer
    negative: Floats  # (Q, N), N as of the query that has fewest

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
    chosen by a hash: none of them is judged an answer, in whatever split, or called neither. A set
    chosen by one of the models to be compared would be hardest for that one. The order of the
    dataset does not matter.

    Raises:
        BadRecord: every document is an answer to one of the queries.
    """
    by_hash = sorted(task.document_ids, key=lambda id_: content_id(f"{seed} {id_}"))
    pool = by_hash[:_MOST_DOCUMENTS]
    wanted = set(pool)
    contents = {d.id: d.content for d in dataset.documents() if d.id in wanted}
    likeness = _common_words(
        [query.content for query in task.queries], [contents[id_] for id_ in pool]
    )
    spared_of = never_wrong(dataset, task)
    pinned = {}
    for query, scores in zip(task.queries, likeness, strict=True):
        spared = spared_of[query.id]
        near = (pool[row] for row in np.argsort(-scores, kind="stable"))
        hard = _first(near, HARD, spared)
        if not hard:
            raise BadRecord(
                f"{dataset.folder}: expected a document that is no answer to query {query.id!r}, "
                f"found none among {len(pool):,}. Import more documents."
            )
        start = int(content_id(f"{seed} {query.id}"), 16) % len(pool)
        others = (pool[(start + i) % len(pool)] for i in range(len(pool)))
        pinned[query.id] = (*hard, *_first(others, FAR, spared | set(hard)))
    return pinned


def _common_words(queries: Sequence[str], documents: Sequence[str]) -> Iterator[Floats]:
    """Yield, of each query, how much it shares with each document, counting rare words more."""
    vectoriser = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    words = vectoriser.build_analyzer()
    if not any(words(content) for content in documents):  # signs and single letters only
        yield from np.zeros((len(queries), len(documents)))
        return
    found = vectoriser.fit_transform(documents)
    for asked in vectoriser.transform(queries):
        yield (found @ asked.T).toarray()[:, 0]


def digest(pinned: Mapping[str, tuple[str, ...]]) -> str:
    """Return the name of a set of negatives."""
    return fingerprint({query: list(ids) for query, ids in pinned.items()})


def similarities(embedded: Embedded, pinned: Mapping[str, tuple[str, ...]]) -> Similarities:
    """Return the cosines of the answers and of the pinned negatives."""
    task = embedded.task
    answers = torch.tensor([task.row_of[task.best_answer(q.id)] for q in task.queries])
    fewest = min(len(pinned[q.id]) for q in task.queries)
    rows = torch.tensor([[task.row_of[id_] for id_ in pinned[q.id][:fewest]] for q in task.queries])
    # All summed the same way: else equal cosines differ by their last bit, and a space where
    # every text lies in one place would seem to tell 4 of 10 answers from their negatives.
    columns = [answers, *rows.T]
    cosines = [(embedded.queries * embedded.documents[column]).sum(1) for column in columns]
    found = torch.stack(cosines, dim=1).double().numpy()
    return Similarities(found[:, 0], found[:, 1:])


def _first(ids: Iterable[str], count: int, without: AbstractSet[str]) -> list[str]:
    found: list[str] = []
    for id_ in ids:
        if len(found) == count:
            break
        if id_ not in without:
            found.append(id_)
    return found
