"""Cohorts of queries that nobody has labelled yet: by their own fields, small values unpooled."""

from collections.abc import Iterable, Sequence

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.cohorts import NONE, cohorts_of
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.scores import Scores
from nearfar.records import Query

_MOST_VALUES = 20  # of a field, so that it counts as a cohort by itself
_QUERY = "query."


def fields_of(queries: Iterable[Query], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the fields that divide queries before anyone has answered them.

    Args:
        queries: labelled or not.
        wanted: entries as `cohorts_of` reads them; None: all fields of 2 to 20 values.

    Raises:
        BadSetting: a field that was asked for has more values.
    """
    values: dict[str, set[str]] = {}
    for query in queries:
        for name, value in query.fields.items():
            found = values.setdefault(_QUERY + name, set())
            if len(found) <= _MOST_VALUES:
                found.add(str(value))
    if wanted is None:
        return tuple(sorted(n for n, found in values.items() if 1 < len(found) <= _MOST_VALUES))
    asked = tuple(dict.fromkeys(name for name in wanted if name in values))
    for name in asked:
        if len(values[name]) > _MOST_VALUES:
            raise BadSetting(
                f"--cohort {name}: expected at most {_MOST_VALUES} different values, found more. "
                "Divide it by an expression, as in 'query.words >= 8'."
            )
    return asked


def labels_of(queries: Sequence[Query], fields: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return of each field the value of each query."""
    return {
        name: tuple(str(query.fields.get(name.removeprefix(_QUERY), NONE)) for query in queries)
        for name in fields
    }


def more_labels(
    dataset: Dataset,
    task: Task | None,
    wanted: Sequence[str] | None,
    fields: Sequence[str],
    results: tuple[Scores, Scores] | None,
) -> dict[str, tuple[str, ...]]:
    """Return cohorts that only labelled queries have: by answers, crossings and expressions.

    Args:
        dataset: where the task comes from.
        task: labelled queries; None where there are none.
        wanted: entries that were asked for; None: those of the results, else all of answers.
        fields: cohorts that are known without.
        results: of two systems.

    Raises:
        BadSetting: an entry is none.
    """
    if task is None:
        return {}
    if wanted is not None:
        rest = [name for name in wanted if name not in fields]
        return cohorts_of(dataset, task, rest, key="--cohort") if rest else {}
    if results is None:
        found = cohorts_of(dataset, task)
        return {name: labels for name, labels in found.items() if not name.startswith(_QUERY)}
    row_of = {query: row for row, query in enumerate(results[0].queries)}
    rows = [row_of.get(query.id) for query in task.queries]
    return {
        name: tuple(NONE if row is None else values[row] for row in rows)
        for name, values in results[0].cohorts.items()
        if name not in fields
    }
