"""What is known of each query of a test set, by name: its fields, its answer's, its words."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import pyarrow as pa
import pyarrow.compute as pc

from nearfar.data import tables
from nearfar.data.dataset import Dataset
from nearfar.data.words import words_of
from nearfar.errors import BadSetting
from nearfar.evaluation.conditions import Column
from nearfar.evaluation.derived import (
    CHARACTER_BOUNDS,
    WORD_BOUNDS,
    denies,
    holds_number,
    length_label,
    rare_terms,
)
from nearfar.evaluation.embedded import Task
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query

_LANGUAGE = ("language", "lang")  # fields of a query that say which it is, the first one there


class Facts:
    """Columns by name, a value for each query of a task; made when first asked for.

    query.x, document.x    fields; of the best-graded answer
    query.content, query.words, query.characters, document.content, ...    unless fields are
                           called so
    derived.x              what `DERIVED` lists

    Args:
        dataset: where the task comes from.
        task: whose queries.
        trained: content ids of the texts that a model has learned from; None: unknown.
        key: the setting that asks, for messages.
    """

    def __init__(
        self, dataset: Dataset, task: Task, *, trained: AbstractSet[str] | None, key: str
    ) -> None:
        self.dataset, self.trained, self.key = dataset, trained, key
        self.queries = task.queries
        self.answers = _answers(dataset, task)
        asked = _names("query", self.queries)
        found = _names("document", self.answers)
        self.fields: tuple[str, ...] = tuple(asked + found)  # a query's before its answer's
        self._columns: dict[str, Column] = {}

    def add(self, name: str, column: Column) -> None:
        """Give a column a name of its own."""
        self._columns[name] = column

    def column(self, name: str) -> Column:
        """Return a value for each query; None where it has none.

        Raises:
            BadSetting: there is nothing of that name, or it cannot be known.
        """
        if name not in self._columns:
            self._columns[name] = self._made(name)
        return self._columns[name]

    def _made(self, name: str) -> Column:
        room, _, own = name.partition(".")
        texts: Mapping[str, Sequence[Query | Document]]
        texts = {"query": self.queries, "document": self.answers}
        if name in self.fields:
            return [text.fields.get(own) for text in texts[room]]
        if room in texts and own in _OF_TEXTS:
            return [_OF_TEXTS[own](text.content) for text in texts[room]]
        if name in DERIVED:
            return DERIVED[name](self)
        known = [*self.fields, *DERIVED, *self._columns]
        known += [f"{place}.{fact}" for place in texts for fact in _OF_TEXTS]
        near = difflib.get_close_matches(name, known, n=1)
        there = [*self.fields, *DERIVED]
        raise BadSetting(
            f"{self.key}: {name} is no field of the {self.dataset.folder} dataset. "
            + (f"Did you mean {near[0]!r}? " if near else "")
            + f"There are: {', '.join(there)}, and of both sides {', '.join(_OF_TEXTS)}."
        )


def _length(facts: Facts) -> Column:
    return [length_label(len(words_of(q.content)), WORD_BOUNDS, "words") for q in facts.queries]


def _characters(facts: Facts) -> Column:
    return [length_label(len(q.content), CHARACTER_BOUNDS, "characters") for q in facts.queries]


def _numbers(facts: Facts) -> Column:
    return [holds_number(query.content) for query in facts.queries]


def _negated(facts: Facts) -> Column:
    return [denies(query.content, _language(query)) for query in facts.queries]


def _rare_terms(facts: Facts) -> Column:
    return rare_terms(facts.dataset, [query.content for query in facts.queries])


def _new_since_training(facts: Facts) -> Column:
    if facts.trained is None:
        raise BadSetting(
            f"{facts.key}: derived.new_since_training needs to know what a model has learned "
            "from. Name that dataset (`nearfar evaluate --trained-on`), or leave this cohort out."
        )
    return [content_id(answer.content) not in facts.trained for answer in facts.answers]


DERIVED: Mapping[str, Callable[[Facts], Column]] = {
    "derived.length": _length,
    "derived.characters": _characters,
    "derived.numbers": _numbers,
    "derived.negated": _negated,
    "derived.rare_terms": _rare_terms,
    "derived.new_since_training": _new_since_training,
}
_OF_TEXTS: Mapping[str, Callable[[str], str | int]] = {
    "content": str,
    "words": lambda content: len(words_of(content)),
    "characters": len,
}


def _names(room: str, texts: Iterable[Query | Document]) -> list[str]:
    return sorted({f"{room}.{name}" for text in texts for name in text.fields})


def _language(query: Query) -> str | None:
    return next((str(query.fields[name]) for name in _LANGUAGE if name in query.fields), None)


def _answers(dataset: Dataset, task: Task) -> list[Document]:
    """Return the best-graded answer of each query; of all documents only these are made."""
    ids = [task.best_answer(query.id) for query in task.queries]
    wanted = pa.array(sorted(set(ids)), pa.string())
    found = {
        document.id: document
        for batch in dataset.batches("documents")
        for document in tables.documents(batch.filter(pc.is_in(batch["id"], wanted)))
    }
    return [found[id_] for id_ in ids]
