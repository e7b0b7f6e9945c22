"""Reads texts with a label, such as intents: texts of one label answer each other.

Of each label some texts become documents, its examples; every other text asks, and is judged
against *all* documents of its label. So what is known is complete: no text of a label is pushed
away from it as a false negative, and a metric counts every example as the answer it is. A text is
a query or a document, never both, since it would find itself first.

Which texts become documents is decided by a hash of seed and text, training texts first, so more
data changes little and nothing depends on the order of the rows. At most half of the training
texts of a label become documents, so that the others can be learned from.
"""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.data.columns import Columns
from nearfar.data.notes import Bundle, Record
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row
from nearfar.data.table import TableReader, plain, text_of
from nearfar.errors import BadSetting
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query

OUT_OF_SCOPE = ("oos", "out_of_scope", "out-of-scope", "none")

_HASH_BYTES = 8
_Place = tuple[bool, bytes]  # training texts first, then by hash


class _Smallest:
    """The n smallest of many places, each with its id; a repeated id counts once."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._heap: list[tuple[int, str]] = []  # negated, so that the largest comes first
        self._ids: set[str] = set()

    def see(self, place: _Place, id: str) -> None:
        """Take note of one more."""
        if id in self._ids:
            return
        number = -int.from_bytes(bytes([place[0]]) + place[1], "big")
        if len(self._heap) < self._n:
            heapq.heappush(self._heap, (number, id))
        elif self._heap and number > self._heap[0][0]:
            self._ids.discard(heapq.heapreplace(self._heap, (number, id))[1])
        else:
            return
        self._ids.add(id)

    def ids(self) -> list[str]:
        """Return the ids, smallest place first."""
        return [id for _, id in sorted(self._heap, reverse=True)]

    def of_training(self) -> int:
        """Return how many of them are training texts; these are the first."""
        return sum(-number < 1 << 8 * _HASH_BYTES for number, _ in self._heap)


@dataclass
class LabelsReader(TableReader):
    """Yields texts, and judgments between texts of one label."""

    documents_per_label: int = 8
    pairs_per_label: int = 1_000  # in each split; further texts of a label are left out
    out_of_scope: tuple[str, ...] = OUT_OF_SCOPE  # labels whose texts have no answer
    seed: int = 0

    usual: ClassVar = {
        "query": "text sentence utterance query question content",
        "document": "",
        "label": "intent label label_text category class",
        "grade": "",
    }
    needed: ClassVar = ("query", "label")

    def bundles(self) -> Iterator[Bundle]:
        """Yield what each text becomes; raises what `TableReader.bundles` raises.

        Raises:
            BadSetting: a number of texts is below 1.
        """
        if self.documents_per_label < 1 or self.pairs_per_label < 1:
            raise BadSetting(
                "documents_per_label and pairs_per_label must be 1 or more, got "
                f"{self.documents_per_label} and {self.pairs_per_label}."
            )
        columns, divided = self._columns(), self._divided()
        documents, asking = self._chosen(columns, divided)
        label_of = {id: label for label, ids in documents.items() for id in ids}
        self._say(documents)
        return self._each(lambda row: self._row(row, columns, divided, documents, asking, label_of))

    def _say(self, documents: dict[str, list[str]]) -> None:
        self.notes.say(
            f"{len(documents):,} labels; up to {self.documents_per_label} texts of each are "
            "documents, the others ask. Without splits in the source, a label is one group: "
            "what is measured are labels that were not learned."
        )

    def _chosen(
        self, columns: Columns, divided: bool
    ) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
        """Return the ids of each label's documents, and of the texts that ask for them."""
        most = max(1, self.pairs_per_label // self.documents_per_label)
        examples: dict[str, _Smallest] = {}
        askers: dict[tuple[str, str | None], _Smallest] = {}
        for row in self._good_rows(
            lambda row: (
                text_of(row, columns.query),
                self._split(row, columns, divided),
                self._label(row, columns),
            )
        ):
            label = self._label(row, columns)
            if not label:
                continue
            split = self._split(row, columns, divided)
            id = content_id(text_of(row, columns.query))
            place = (split not in (None, "train"), self._hash(id))
            examples.setdefault(label, _Smallest(2 * self.documents_per_label)).see(place, id)
            most_here = most + self.documents_per_label  # as some of them are documents
            askers.setdefault((label, split), _Smallest(most_here)).see((False, place[1]), id)
        documents = {label: self._documents_of(found) for label, found in examples.items()}
        asking: dict[str, set[str]] = {}
        for (label, _), found in askers.items():
            rest = [id for id in found.ids() if id not in documents[label]]
            asking.setdefault(label, set()).update(rest[:most])
        return documents, asking

    def _documents_of(self, found: _Smallest) -> list[str]:
        """Return the documents of a label: with few texts, half of them still ask."""
        half = (found.of_training() or len(found.ids())) // 2
        return found.ids()[: max(1, min(self.documents_per_label, half))]

    def _hash(self, id: str) -> bytes:
        return hashlib.blake2b(f"{self.seed}:{id}".encode(), digest_size=_HASH_BYTES).digest()

    def _label(self, row: Row, columns: Columns) -> str:
        """Return the label of a row; empty where its text is in the scope of none."""
        label = plain(row, columns.label).strip()
        if not label:
            raise BadRow(
                "no label",
                f"{row.where}: {columns.label!r} is missing or empty. Fill it in, remove the row, "
                f"or label texts that have no answer: {', '.join(self.out_of_scope)}.",
            )
        return "" if label.casefold() in map(str.casefold, self.out_of_scope) else label

    def _row(
        self, row: Row, columns: Columns, divided: bool, documents: dict[str, list[str]],
        asking: dict[str, set[str]], label_of: dict[str, str],
    ) -> list[Record] | str:  # fmt: skip
        text, label = text_of(row, columns.query), self._label(row, columns)
        split = self._split(row, columns, divided)
        id = content_id(text)
        fields = self._fields(row, columns) | {str(columns.label): plain(row, columns.label)}
        more: dict[str, Any] = {"source": row.where, "fields": fields}
        if not label:
            self.notes.left_out["answers of texts out of scope, which have none"] += 1
            return [Query(id=id, content=text, **more)] if id not in label_of else _TWICE
        more["group"] = "" if split else label
        if id in label_of:
            return [Document(id=id, content=text, **more)] if label_of[id] == label else _TWICE
        if id not in asking[label]:
            return f"texts of a label that has its {self.pairs_per_label:,} pairs"
        judged = [self._judgment(row, id, answer, 1.0, split) for answer in documents[label]]
        return [Query(id=id, content=text, **more), *judged]


_TWICE = "texts that are a document of another label"
