"""Reads natural language inference: what is entailed answers, what contradicts is a hard negative.

    premise → hypothesis    entailment: grade 1 · contradiction: grade 0 · neutral: left out

A contradiction teaches only beside an entailment, so one whose premise entails nothing is left
out. In groups of edited sentences (a `group` column) there is a second way: where another premise
of the group entails the same hypothesis, the hypothesis is the query and the premises, one word
apart, are its answer and its hard negative.

Source: Gao et al. 2021, arXiv:2104.08821, sec. 4 (entailment as positive, contradiction as hard
negative); the groups are those of Kaushik et al. 2020, arXiv:1909.12434.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from nearfar.data.columns import Columns
from nearfar.data.notes import Bundle, Record
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row
from nearfar.data.spool import short_hash
from nearfar.data.table import TableReader, plain, text_of

_LABELS = {
    "entailment": "entailment",
    "entails": "entailment",
    "e": "entailment",
    "0": "entailment",
    "neutral": "neutral",
    "n": "neutral",
    "1": "neutral",
    "not_entailment": "neutral",  # two-way sets do not say which of the two it is
    "contradiction": "contradiction",
    "contradicts": "contradiction",
    "c": "contradiction",
    "2": "contradiction",
    "-1": "",
    "-": "",
    "": "",
}
_LEFT_OUT = {"neutral": "neutral pairs", "": "pairs without a label (-1, - or empty)"}


class _Pair(NamedTuple):
    premise: str
    hypothesis: str
    label: str
    group: str
    part: str


@dataclass
class NliReader(TableReader):
    """Yields entailed and contradicted hypotheses of premises."""

    usual: ClassVar = {
        "query": "premise sentence1 text1 sentence_a",
        "document": "hypothesis sentence2 text2 sentence_b",
        "label": "label gold_label labels",
        "grade": "",
    }
    needed: ClassVar = ("query", "document", "label")

    def bundles(self) -> Iterator[Bundle]:
        """Yield the pair of each row; raises what `TableReader.bundles` raises."""
        columns, divided = self._columns(), self._divided()
        entailed: set[bytes] = set()  # premises that entail something
        answered: set[bytes] = set()  # hypotheses that a premise of their group entails
        lonely: list[tuple[bytes, bytes]] = []  # contradictions in groups
        for row in self._good_rows(lambda row: self._read(row, columns, divided)):
            pair = self._read(row, columns, divided)
            if pair.label == "entailment":
                entailed.add(_premise(pair))
                answered.add(_hypothesis(pair))
            elif pair.label == "contradiction" and pair.group:
                lonely.append((_premise(pair), _hypothesis(pair)))
        turned = {own for premise, own in lonely if premise not in entailed} & answered
        return self._each(lambda row: self._row(row, columns, divided, entailed, turned))

    def _read(self, row: Row, columns: Columns, divided: bool) -> _Pair:
        group = plain(row, columns.group)
        if group and divided and row.split and not isinstance(row.values[str(columns.group)], str):
            group = f"{row.split}:{group}"
            self.notes.say("Groups that are numbers are numbers within their part of the folder.")
        return _Pair(
            text_of(row, columns.query),
            text_of(row, columns.document),
            self._label(row, columns),
            group,
            row.split if divided else plain(row, columns.split),
        )

    def _label(self, row: Row, columns: Columns) -> str:
        value = plain(row, columns.label).strip().casefold()
        if value in ("0", "1", "2"):
            self.notes.say("Labels 0, 1 and 2 are read as entailment, neutral and contradiction.")
        if value in _LABELS:
            return _LABELS[value]
        raise BadRow(
            "unknown label",
            f"{row.where}: expected entailment, neutral or contradiction (or 0, 1, 2; -1 for none) "
            f"in {columns.label!r}, found {value!r:.60}. Correct the row.",
        )

    def _row(
        self, row: Row, columns: Columns, divided: bool, entailed: set[bytes], turned: set[bytes]
    ) -> list[Record] | str:
        pair = self._read(row, columns, divided)
        split = self._split(row, columns, divided)
        if pair.label in _LEFT_OUT:
            return _LEFT_OUT[pair.label]
        grade = 1.0 if pair.label == "entailment" else 0.0
        fields = self._fields(row, columns)
        records: list[Record] = []
        if _premise(pair) in entailed:
            records += self._pair(
                row, pair.premise, pair.hypothesis, grade, split, pair.group, fields
            )
        if _hypothesis(pair) in turned and (grade or not records):
            records += self._pair(
                row, pair.hypothesis, pair.premise, grade, split, pair.group, fields
            )
        return records or "contradictions of a premise that entails nothing"


def _premise(pair: _Pair) -> bytes:
    return short_hash(f"{pair.part}\n{pair.premise}")


def _hypothesis(pair: _Pair) -> bytes:
    return short_hash(f"{pair.part}\n{pair.group}\n{pair.hypothesis}") if pair.group else b""
