"""A System finds documents for the queries of a task: an encoder, words, a run file, a server.

Shapes: N texts, C documents, D dimensions.
"""

import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.evaluation.amounts import amount
from nearfar.evaluation.embedded import Task, embed, rankings
from nearfar.fingerprint import content_id, fingerprint
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

Kind = Literal["encoder", "words", "run", "served"]
Rankings = Mapping[str, Sequence[str]]

_TIMED = 100  # queries, each asked alone; chosen by their hash
_BYTES_PER_NUMBER = 4  # float32, as an index keeps it unless told otherwise


class Finds(Protocol):
    """How a system answers a whole task."""

    def __call__(self, dataset: Dataset, task: Task, depth: int, *, progress: Progress) -> "Found":
        """Return up to `depth` documents of each query, best first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a system found, and what that took."""

    rankings: Rankings
    costs: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # for a person to know


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Something that finds.

    Args:
        name: what people call it.
        kind: of system.
        facts: all that its rankings depend on beside the data: of an encoder its space, of a
            run its digest; of a server what is known of it, and it can change unseen.
        find: answers a task.
    """

    name: str
    kind: Kind
    facts: Mapping[str, Any]
    find: Finds

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with the facts."""
        return fingerprint({"kind": self.kind, "facts": dict(self.facts)})


class Encodes(Protocol):
    """What is asked of an encoder to rank documents: vectors, and nothing of their space."""

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return one vector per content."""
        ...


Search = Callable[[str, int], Sequence[int]]  # a query, a depth: rows of documents, best first
Counts = Callable[[Sequence[str], Role], int]  # the tokens of some texts; 0: they are not known


def encoder_system(
    name: str,
    encoder: Encoder,
    *,
    count: Counts | None = None,
    costs: Mapping[str, float] | None = None,
) -> System:
    """Return a model that is at hand as a system.

    Args:
        name: what people call it.
        encoder: the model.
        count: its tokens; None: they are not counted.
        costs: what is known of it beforehand, such as `parameters` and `download_bytes`.
    """
    find = partial(_by_vectors, encoder, count or (lambda texts, role: 0), costs or {})
    return System(name=name, kind="encoder", facts=encoder.space.to_json(), find=find)


def served_system(name: str, encoder: Encodes, count: Counts, facts: Mapping[str, Any]) -> System:
    """Return a server of vectors as a system; they have no space that could be checked.

    Args:
        name: what people call it.
        encoder: asks the server.
        count: tokens, as the server counts them.
        facts: what is known: address, model, dimensions.
    """
    return System(
        name=name, kind="served", facts=facts, find=partial(_by_vectors, encoder, count, {})
    )


def run_system(name: str, run: Rankings, facts: Mapping[str, Any]) -> System:
    """Return rankings that were made elsewhere as a system.

    Args:
        name: what people call it.
        run: of each query document ids, best first.
        facts: the digest of its file.
    """

    def find(dataset: Dataset, task: Task, depth: int, *, progress: Progress) -> Found:
        told = told_of_run(name, run, [query.id for query in task.queries], task.row_of)
        return Found(rankings=run, notes=tuple(told))

    return System(name=name, kind="run", facts=facts, find=find)


def told_of_run(
    name: str, run: Rankings, queries: Sequence[str], documents: Container[str]
) -> list[str]:
    """Say what a run misses of a test set, and what it has that is not of it."""
    missing = [query for query in queries if query not in run]
    strange = sorted(set(run).difference(queries))
    found = {id_ for query in queries for id_ in run.get(query, ())}
    unknown = sorted(id_ for id_ in found if id_ not in documents)
    told = []
    if missing:
        told.append(
            f"{name} has nothing for {len(missing):,} of {amount(len(queries), 'query')}, such as "
            f"{missing[0]!r}: what is missing counts 0."
        )
    if strange:
        told.append(
            f"{name} has {amount(len(strange), 'query')} that the test set does not score, such as "
            f"{strange[0]!r}: passed over."
        )
    if unknown:
        told.append(
            f"{name} found {amount(len(unknown), 'document')} that the dataset lacks, such as "
            f"{unknown[0]!r}: each takes its place and counts as wrong."
        )
    return told


def words_system(
    name: str,
    prepare: Callable[[Dataset, Progress], AbstractContextManager[tuple[Search, int]]],
    facts: Mapping[str, Any],
) -> System:
    """Return a search by words (BM25) as a system.

    Args:
        name: what people call it.
        prepare: indexes all documents of a dataset; gives the search, and the bytes of the
            index, until it is left.
        facts: how texts become words, and how they are weighed.
    """

    def find(dataset: Dataset, task: Task, depth: int, *, progress: Progress) -> Found:
        documents = len(task.document_ids)
        assert documents == dataset.count("documents"), "words are weighed among all documents"
        found, times = {}, []
        before = time.perf_counter()
        with prepare(dataset, progress) as (search, size):
            seconds = time.perf_counter() - before
            for query in task.queries:
                before = time.perf_counter()
                rows = search(query.content, depth)
                times.append(time.perf_counter() - before)
                found[query.id] = [task.document_ids[row] for row in rows]
                progress("searching by words", len(times), len(task.queries))
        costs = _latency(times) | {
            "encoding_seconds_per_1000_documents": 1_000 * seconds / documents,
            "bytes_per_document": size / documents,
        }
        return Found(rankings=found, costs=costs)

    return System(name=name, kind="words", facts=facts, find=find)


def _by_vectors(
    encoder: Encodes,
    count: Counts,
    known: Mapping[str, float],
    dataset: Dataset,
    task: Task,
    depth: int,
    *,
    progress: Progress,
) -> Found:
    timed = _Timed(encoder, count)
    # `embed` asks for vectors alone; what a server gives has no space to show.
    embedded = embed(cast(Encoder, timed), dataset, task, progress=progress)
    documents = embedded.documents
    times = []
    for query in sorted(task.queries, key=lambda query: content_id(query.id))[:_TIMED]:
        before = time.perf_counter()
        vector = unit(encoder.encode([query.content], "query"))
        nearest(vector, documents, depth)
        times.append(time.perf_counter() - before)
        progress("timing queries", len(times), min(_TIMED, len(task.queries)))
    tokens = {
        f"tokens_per_{role}": timed.tokens[role] / len(rows)
        for role, rows in (("query", task.queries), ("document", task.document_ids))
        if role not in timed.uncounted
    }
    costs = _latency(times) | tokens | {
        "encoding_seconds_per_1000_documents": 1_000 * timed.seconds["document"] / len(documents),
        "dimensions": float(documents.shape[1]),
        "bytes_per_document": float(documents.shape[1] * _BYTES_PER_NUMBER),
    }  # fmt: skip
    return Found(rankings=rankings(embedded, depth), costs=dict(known) | costs)


@dataclass
class _Timed:
    """An encoder whose seconds and tokens are added up for each role."""

    encoder: Encodes
    count: Counts
    seconds: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    uncounted: set[str] = field(default_factory=set)  # roles of which a part was not counted

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        before = time.perf_counter()
        found = self.encoder.encode(contents, role, progress=progress)
        self.seconds[role] += time.perf_counter() - before  # type: ignore[assignment]
        # A server may leave out the usage of some answers: a sum that lacks a part is too cheap.
        if tokens := self.count(contents, role):
            self.tokens[role] += tokens
        else:
            self.uncounted.add(role)
        return found.to(torch.float32)


def _latency(seconds: Sequence[float]) -> dict[str, float]:
    """Return how long a query takes alone; the first warms up, where there are others."""
    counted = seconds[1:] or seconds
    return {"median_seconds": float(np.median(counted)),
            "p95_seconds": float(np.quantile(counted, 0.95))}  # fmt: skip
