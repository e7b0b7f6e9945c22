"""What a check remembers of judgments, nine bytes each, and finds in them.

Shapes: Q queries, D documents, J judgments. Texts alike are told by the number of their first.
"""

import math
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nearfar.data.findings import EXAMPLES, Example, Finding
from nearfar.data.seen import Groups, Texts
from nearfar.records import Judgment, Split

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_MEASURED: dict[Split | None, int] = {"train": 1, "dev": 2, "test": 4}  # aside leaks nothing
_ANSWER, _NO_ANSWER = 8, 16


class Judged:
    """The judgments: the number of either text, and a few bits."""

    def __init__(self, queries: Texts, documents: Texts, groups: Groups) -> None:
        self.queries = queries
        self.documents = documents
        self._groups = groups
        self._query, self._document, self._bits = array("i"), array("i"), array("B")

    def see(self, judgment: Judgment) -> None:
        """Take note of one more judgment."""
        if math.isnan(judgment.grade):
            return  # a teacher's score alone
        self._query.append(self.queries.number(judgment.query_id))
        self._document.append(self.documents.number(judgment.document_id))
        side = _ANSWER if judgment.grade > 0 else _NO_ANSWER
        self._bits.append(side | _MEASURED.get(judgment.split, 0))

    @cached_property
    def _arrays(self) -> tuple[Ints, Ints, Bytes]:
        """Return query, document and bits of each judgment, (J,) each."""
        query = np.array(self._query, dtype=np.int64)
        return query, np.array(self._document, dtype=np.int64), np.array(self._bits, dtype=np.uint8)

    @cached_property
    def _is_answer(self) -> NDArray[np.bool_]:
        is_answer: NDArray[np.bool_] = (self._arrays[2] & _ANSWER) > 0
        return is_answer

    def findings(self) -> Iterator[Finding]:
        """Yield what can be found in the judgments, but for contradictions."""
        query, document, bits = self._arrays
        answers = document[self._is_answer]
        yield _leak(
            "query_leaks",
            self.queries,
            _marked(self.queries.firsts[query], bits, len(self.queries)),
            "queries asked in more than one of train, dev and test",
            "Keep each in one split, for example by dividing anew by the hash of the groups.",
        )
        yield _leak(
            "answer_leaks",
            self.documents,
            _marked(self.documents.firsts[answers], bits[self._is_answer], len(self.documents)),
            "documents that are an answer in more than one of train, dev and test",
            "Give what belongs together one group and divide anew, or read scores as optimistic.",
        )
        yield self._group_leaks()
        yield from self._gaps()

    def _group_leaks(self) -> Finding:
        query, document, bits = self._arrays
        group = np.concatenate(
            [self.queries.groups[query], self.documents.groups[document[self._is_answer]]]
        )
        bits = np.concatenate([bits, bits[self._is_answer]])
        marks = _marked(group[group >= 0], bits[group >= 0], len(self._groups))
        groups = _in_several(marks)
        names = list(self._groups) if len(groups) else []
        return Finding(
            "group_leaks",
            "warning",
            len(groups),
            int((marks > 0).sum()),
            "groups that lie in more than one of train, dev and test",
            "Divide anew by the hash of the groups, so that none is both learned and measured.",
            tuple(Example((names[g],), _splits(marks[g])) for g in groups[:EXAMPLES].tolist()),
        )

    def _gaps(self) -> Iterator[Finding]:
        query, document, bits = self._arrays
        unasked = _never(document[self._is_answer], len(self.documents))
        yield Finding(
            "unasked_documents",
            "note",
            len(unasked),
            len(self.documents),
            "documents that answer no query",
            "They take part as wrong answers; more queries would make more of them.",
            tuple(Example((id,)) for id in self.documents.ids(unasked[:EXAMPLES])),
            "document",
        )
        unanswered = _never(query[self._is_answer], len(self.queries))
        yield Finding(
            "unanswered_queries",
            "warning",
            len(unanswered),
            len(self.queries),
            "queries without an answer",
            "They are not measured; judge a document for them, or remove them.",
            tuple(Example((id,)) for id in self.queries.ids(unanswered[:EXAMPLES])),
            "query",
        )
        missing = [split for split, bit in _MEASURED.items() if not (bits & bit).any()]
        yield Finding(
            "missing_splits",
            "note",
            len(missing),
            len(_MEASURED),
            "of train, dev and test are empty",
            "Without train nothing is learned, without dev nothing chosen, without test "
            "nothing proved.",
            tuple(Example((str(split),)) for split in missing),
        )

    def contradictions(self, judgments: Iterable[Judgment]) -> Finding:
        """Return the pairs of texts that are judged both an answer and no answer.

        Args:
            judgments: all of them once more, in the same order, for the examples.
        """
        query, document, bits = self._arrays
        keys = self.queries.firsts[query] * len(self.documents) + self.documents.firsts[document]
        pairs, pair = np.unique(keys, return_inverse=True)  # (P,) and (J,)
        sides = _marked(pair, bits, len(pairs)) & (_ANSWER | _NO_ANSWER)
        both = np.flatnonzero(sides == _ANSWER | _NO_ANSWER)
        places = [self._places(pair == number) for number in both[:EXAMPLES]]
        wanted = {place for found in places for place in found}
        found = {
            place: judgment
            for place, judgment in enumerate(judgments if wanted else ())
            if place in wanted
        }
        return Finding(
            "contradictions",
            "error",
            len(both),
            len(pairs),
            "pairs of a query and a document judged both an answer and no answer",
            "Decide which holds, and remove the other judgment from the source.",
            tuple(_both(found[one], found[other]) for one, other in places),
        )

    def _places(self, of_pair: NDArray[np.bool_]) -> tuple[int, int]:
        """Return where the first judgment for and the first one against a pair stand."""
        return int((of_pair & self._is_answer).argmax()), int((of_pair & ~self._is_answer).argmax())


def _leak(name: str, texts: Texts, marks: Bytes, what: str, advice: str) -> Finding:
    leaks = _in_several(marks)
    examples = leaks[:EXAMPLES].tolist()
    return Finding(
        name,
        "error" if texts.role == "query" else "warning",
        len(leaks),
        int((marks > 0).sum()),
        what,
        advice,
        tuple(Example(texts.alike(first), _splits(marks[first])) for first in examples),
        texts.role,
    )


def _both(answer: Judgment, no_answer: Judgment) -> Example:
    ids = (answer.query_id, answer.document_id, no_answer.query_id, no_answer.document_id)
    sources = (answer.origin.source, no_answer.origin.source)
    return Example(tuple(dict.fromkeys(ids)), f"grade {answer.grade:g} and 0", sources)


def _marked(numbers: Ints, bits: Bytes, count: int) -> Bytes:
    """Return for each of the first `count` numbers all bits that go with it."""
    marks = np.zeros(count, dtype=np.uint8)
    np.bitwise_or.at(marks, numbers, bits)
    return marks


def _in_several(marks: Bytes) -> Ints:
    """Return the numbers whose bits name more than one split."""
    several = [bits for bits in range(8) if bits.bit_count() > 1]
    return np.flatnonzero(np.isin(marks & 7, several))


def _never(numbers: Ints, count: int) -> Ints:
    """Return those of the first `count` numbers that are not there."""
    there = np.zeros(count, dtype=bool)
    there[numbers] = True
    return np.flatnonzero(~there)


def _splits(bits: int) -> str:
    return ", ".join(str(split) for split, bit in _MEASURED.items() if bits & bit)
