"""Reads sentences that mean the same, or are scored for how much they do: paraphrases and STS."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from nearfar.data.columns import Columns
from nearfar.data.notes import Bundle, Record
from nearfar.data.pairs import grade_of
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row
from nearfar.data.table import TableReader, plain, text_of
from nearfar.errors import BadSetting
from nearfar.fingerprint import content_id

_ONE = "sentence1 sentence_1 sentence_a question1 text1 text_1 anchor source original query left a"
_OTHER = (
    "sentence2 sentence_2 sentence_b question2 text2 text_2 positive target paraphrase document "
    "right b"
)
_SAME = "pairs of a text and itself"
_USUAL_SCALES = (1.0, 4.0, 5.0, 10.0, 100.0)


@dataclass
class ParaphrasesReader(TableReader):
    """Yields pairs that mean the same; where there is a label, 0 says that they do not.

    Neither side asks more than the other: (a, b) and (b, a) are one pair, in which the text
    with the smaller id is the query.
    """

    usual: ClassVar = {
        "query": _ONE,
        "document": _OTHER,
        "grade": "label is_duplicate is_paraphrase duplicate grade",
    }

    def bundles(self) -> Iterator[Bundle]:
        """Yield the pair of each row; raises what `TableReader.bundles` raises."""
        columns, divided = self._columns(), self._divided()
        return self._each(lambda row: self._row(row, columns, divided))

    def _row(self, row: Row, columns: Columns, divided: bool) -> list[Record] | str:
        split = self._split(row, columns, divided)
        grade = grade_of(row, columns.grade)
        one, other = sorted(
            (text_of(row, columns.query), text_of(row, columns.document)), key=content_id
        )
        if one == other:
            return _SAME
        group, fields = plain(row, columns.group), self._fields(row, columns)
        return self._pair(row, one, other, grade, split, group, fields)


@dataclass
class StsReader(TableReader):
    """Yields pairs with a grade from 0 (nothing in common) to 1 (the same meaning)."""

    score_max: float | None = None  # the score of two texts of one meaning; None: guessed

    usual: ClassVar = {
        "query": _ONE,
        "document": _OTHER,
        "grade": "score similarity similarity_score label grade relatedness_score",
    }
    needed: ClassVar = ("query", "document", "grade")

    def bundles(self) -> Iterator[Bundle]:
        """Yield the pair of each row; raises what `TableReader.bundles` raises."""
        columns, divided = self._columns(), self._divided()
        highest = self._highest(columns)
        return self._each(lambda row: self._row(row, columns, divided, highest))

    def _highest(self, columns: Columns) -> float:
        if self.score_max is not None:
            if not (math.isfinite(self.score_max) and self.score_max > 0):
                raise BadSetting(f"score_max must be a number above 0, got {self.score_max}.")
            return self.score_max
        rows = self._good_rows(lambda row: grade_of(row, columns.grade))
        found = max((grade_of(row, columns.grade) for row in rows), default=1.0)
        highest = next((scale for scale in _USUAL_SCALES if found <= scale), found)
        self.notes.say(
            f"Scores in {columns.grade!r} are read as 0 to {highest:g} (the largest is {found:g}) "
            f"and divided by {highest:g}; score_max says otherwise. A grade above 0 counts as an "
            "answer unless the loss is graded: train on these with cosent, angle or the like."
        )
        return highest

    def _row(self, row: Row, columns: Columns, divided: bool, highest: float) -> list[Record] | str:
        split = self._split(row, columns, divided)
        score = grade_of(row, columns.grade)
        if score > highest:
            raise BadRow(
                "bad grade",
                f"{row.where}: expected a score of at most {highest:g} in {columns.grade!r}, "
                f"found {score:g}. Correct the row, or name a larger score_max.",
            )
        one, other = text_of(row, columns.query), text_of(row, columns.document)
        group, fields = plain(row, columns.group), self._fields(row, columns)
        return self._pair(row, one, other, score / highest, split, group, fields)
