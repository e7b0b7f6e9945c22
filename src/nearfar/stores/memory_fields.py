"""Fields in memory, column by column: which documents a search is narrowed to.

Shapes: C documents, V distinct texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearfar.records import Document, Scalar
from nearfar.stores.contract import Kind
from nearfar.stores.filters import HOLDS, Condition, Where, matches
from nearfar.stores.memory_growing import Array, Growing

Truths = npt.NDArray[np.bool_]
_KINDS: dict[Kind, npt.DTypeLike] = {
    "text": np.int32, "integer": np.int64, "number": np.float64, "truth": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of the documents that stand in memory at one moment."""

    values: Array  # (C,) of texts their numbers
    present: Truths  # (C,)
    numbers: dict[str, int] | None  # of texts; shared with the writer, who only adds

    def holds(self, condition: Condition) -> Truths:
        """Return for each document whether the condition holds."""
        if self.numbers is not None:
            return self.present & _holds_of_texts(condition, self.values, self.numbers)
        held = [HOLDS[condition.sign](self.values, value) for value in condition.values]  # type: ignore[arg-type]
        together = np.logical_and if condition.sign == "!=" else np.logical_or
        found: Truths = self.present & together.reduce(held)
        return found


def _holds_of_texts(condition: Condition, values: Array, numbers: dict[str, int]) -> Truths:
    if condition.sign in ("=", "!="):
        known = [numbers.get(str(value), -1) for value in condition.values]
        found: Truths = np.isin(values, known, invert=condition.sign == "!=")
        return found
    # Texts are compared once each: fields are cohorts, with fewer values than documents.
    held = [matches((condition,), {condition.field: text}) for text in list(numbers)]
    return np.array([*held, False])[values]


class Field:
    """One field of all documents, written at its end."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._values, self._present = Growing(_KINDS[kind]), Growing(np.bool_)
        self._numbers: dict[str, int] | None = {} if kind == "text" else None

    def reserve(self, more: int) -> None:
        """Make room for so many documents."""
        self._values.reserve(more)
        self._present.reserve(more)

    def append(self, values: Sequence[Scalar | None]) -> None:
        """Write a value a document, for which there is room; None: it has no such field."""
        present = [value is not None for value in values]
        self._present.append(present)
        numbers = self._numbers
        if numbers is not None:
            self._values.append(
                [-1 if v is None else numbers.setdefault(str(v), len(numbers)) for v in values]
            )
        else:
            self._values.append([0 if value is None else value for value in values])

    def view(self) -> FieldView:
        """Return the field of the documents that are written by now."""
        return FieldView(self._values.view(), self._present.view(), self._numbers)

    def kept(self, keep: Truths) -> "Field":
        """Return the field of the chosen documents alone."""
        some = Field(self._kind)
        some._values, some._present = self._values.kept(keep), self._present.kept(keep)
        if self._numbers is not None:
            values, there = some._values.view(), some._present.view()
            used, values[there] = np.unique(values[there], return_inverse=True)
            names = list(self._numbers)
            some._numbers = {names[number]: at for at, number in enumerate(used.tolist())}
        return some


def values_of(documents: Sequence[Document], name: str) -> list[Scalar | None]:
    """Return one field of some documents; None where they have none."""
    return [document.fields.get(name) for document in documents]


def narrowed(where: Where, fields: Mapping[str, FieldView], alive: Truths) -> Truths:
    """Return which documents are there and match."""
    chosen = alive
    for condition in where:
        chosen = chosen & fields[condition.field].holds(condition)
    return chosen
