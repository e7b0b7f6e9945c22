"""Which cohorts each query of a test set is in: by fields, expressions, words, and crossings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.conditions import Column, holds, is_date, names_in
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.facts import DERIVED, Facts
from nearfar.evaluation.intervals import FEWEST
from nearfar.evaluation.wanted import CROSS, DERIVED_ONES, FIELDS, KEY, Wanted, read_wanted
from nearfar.records import Scalar

Labels = tuple[str, ...]  # of each query

OTHER = "other"  # values of few queries, together
NONE = "none"  # no such field
_MOST_VALUES = 20  # of a field, so that it counts as a cohort by itself


def cohorts_of(
    dataset: Dataset,
    task: Task,
    wanted: Sequence[str] | None = None,
    *,
    trained: AbstractSet[str] | None = None,
    key: str = KEY,
) -> dict[str, Labels]:
    """Return of each field the value of each query, as `Scores.cohorts` holds them.

    Each entry of `wanted` is one of

        query.language                      a field of the query, or document.x, of its
                                            best-graded answer
        derived.length                      what its words show: length, characters, numbers,
                                            negated, rare_terms, new_since_training
        query.language & document.kind      a crossing: "de & faq" and so on
        query.words >= 8                    an expression: yes or no
        long = query.words >= 8             the same under a name, for later entries too
        fields                              every field that divides the queries into at most 20
                                            values, and not as another one did already
        derived                             all derived ones that can be known

    A field without a value is "none". Dates of more than 20 values are taken by year. Values of
    fewer than 20 queries are pooled into "other", which one that the data calls so joins.

    Args:
        dataset: where the task comes from.
        task: whose queries.
        wanted: entries as above; None: fields.
        trained: content ids of the texts a model has learned from, as `trained_texts` gives
            them; None: not known.
        key: the setting, for messages.

    Raises:
        BadSetting: an entry is unknown, is no expression, or leaves no cohort.
    """
    facts = Facts(dataset, task, trained=trained, key=key)
    found: dict[str, Labels] = {}
    for one in read_wanted((FIELDS,) if wanted is None else wanted, key=key):
        if one.name == FIELDS:
            found |= _dividing(facts, found)
        elif one.name == DERIVED_ONES:
            names = [name for name in DERIVED if trained is not None or "training" not in name]
            found |= {name: _pooled(_labels(facts, name)) for name in names}
        elif one.condition is not None:
            column = _held(facts, one, key)
            facts.add(one.name, column)
            found[one.name] = _pooled(_said(column))
        elif one.crossed:
            parts = [_asked(facts, name) for name in one.crossed]
            found[one.name] = crossed(parts)
        else:
            found[one.name] = _asked(facts, one.name)
    return found


def cohorts_in(
    cohorts: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, str, npt.NDArray[np.int64]]]:
    """Yield field, value and queries (their places) of each cohort, the largest of a field first.

    Args:
        cohorts: as `cohorts_of` returns them, or `Scores.cohorts`.
    """
    for field, values in cohorts.items():
        named = np.asarray(values)
        for value, _ in Counter(values).most_common():
            yield field, value, np.flatnonzero(named == value)


def crossed(parts: Sequence[Sequence[str]]) -> Labels:
    """Return the crossing of several fields, such as "de & faq"; few are pooled again."""
    return _pooled([CROSS.join(row) for row in zip(*parts, strict=True)])


def _held(facts: Facts, one: Wanted, key: str) -> Column:
    assert one.condition is not None, "not a condition"
    for name in names_in(one.condition):
        facts.column(name)  # an unknown one is refused by its name, not within an expression
    try:
        return holds(one.condition, facts.column, len(facts.queries))
    except BadSetting as error:
        raise BadSetting(f"{key}: {one.name}: {error}") from error


def _asked(facts: Facts, name: str) -> Labels:
    """Return the values of a field that was asked for by name.

    Raises:
        BadSetting: it has many values, and none of them enough queries.
    """
    labels = _labels(facts, name)
    pooled = _pooled(labels)
    if set(pooled) == {OTHER} and len(set(labels)) > _MOST_VALUES:
        raise BadSetting(
            f"{facts.key}: {name} has {len(set(labels)):,} values, none of {FEWEST} queries or "
            f"more, such as {labels[0]!r}. Divide it by an expression, as in query.words >= 8."
        )
    return pooled


def _dividing(facts: Facts, there: Mapping[str, Labels]) -> dict[str, Labels]:
    """Return the fields that are cohorts by themselves, a query's before its answer's."""
    found: dict[str, Labels] = {}
    seen: set[Labels] = set()
    for name in facts.fields:
        labels = _labels(facts, name)
        pooled = _pooled(labels)
        alone = len(set(pooled)) == 1  # every query: said already
        # What divides the queries as another field did, such as the kind of a document that
        # its query has too, is one cohort, not two.
        if alone or len(set(labels)) > _MOST_VALUES or labels in seen or name in there:
            continue
        seen.add(labels)
        found[name] = pooled
    return found


def _labels(facts: Facts, name: str) -> Labels:
    """Return the values of a field as people read them; of many dates the years."""
    column = facts.column(name)
    if name in facts.fields:
        labels: Labels = tuple(NONE if value is None else str(value) for value in column)
    else:
        labels = _said(column)
    if len(set(labels)) <= _MOST_VALUES:
        return labels
    if not all(value is None or is_date(value) for value in column):
        return labels
    return tuple(label if label == NONE else label[:4] for label in labels)


def _said(column: Column) -> Labels:
    words: dict[Scalar | None, str] = {True: "yes", False: "no", None: NONE}
    return tuple(words[v] if v is None or isinstance(v, bool) else str(v) for v in column)


def _pooled(labels: Sequence[str]) -> Labels:
    sizes = Counter(labels)
    return tuple(label if sizes[label] >= FEWEST else OTHER for label in labels)
