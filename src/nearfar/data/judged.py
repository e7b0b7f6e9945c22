"""What a check remembers of texts and judgments, hashes and bits alone, and finds in them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from nearfar.data.findings import EXAMPLES, Example, Finding
from nearfar.data.spool import short_hash
from nearfar.records import Document, Judgment, Query, Role, Split

_MEASURED: dict[Split | None, int] = {"train": 1, "dev": 2, "test": 4}  # aside leaks nothing
_ANSWER, _NO_ANSWER = 1, 2


_Key = TypeVar("_Key", bytes, str)


@dataclass
class Texts:
    """The texts of one role: a hash for each, the same for texts alike up to case and spaces."""

    role: Role
    hashes: dict[str, bytes] = field(default_factory=dict)  # by id
    groups: dict[str, str] = field(default_factory=dict)  # by id, where there is a group
    empty: list[str] = field(default_factory=list)

    def see(self, text: Document | Query) -> None:
        """Take note of one more text."""
        self.hashes[text.id] = short_hash(" ".join(text.content.casefold().split()))
        if text.group:
            self.groups[text.id] = text.group
        if not any(map(str.isalnum, text.content)):
            self.empty.append(text.id)

    def findings(self) -> Iterator[Finding]:
        """Yield what can be found in the texts themselves."""
        plural = "queries" if self.role == "query" else "documents"
        yield Finding(
            f"empty_{plural}",
            "warning",
            len(self.empty),
            len(self.hashes),
            f"{plural} without a letter or a digit",
            "Fill them in, or remove them from the source.",
            tuple(Example((id,)) for id in self.empty[:EXAMPLES]),
            self.role,
        )
        times = Counter(self.hashes.values())
        again = [hash for hash, count in times.items() if count > 1]
        yield Finding(
            f"duplicate_{plural}",
            "warning",
            sum(times[hash] - 1 for hash in again),
            len(self.hashes),
            f"{plural} that repeat the text of another under a different id",
            "Give one text one id: an answer under two ids counts as wrong under one of them.",
            tuple(Example(ids) for ids in self.alike(again[:EXAMPLES])),
            self.role,
        )

    def alike(self, hashes: Iterable[bytes]) -> list[tuple[str, ...]]:
        """Return the ids of the texts with each of a few hashes, a few of each."""
        ids: dict[bytes, list[str]] = {hash: [] for hash in hashes}
        for id, hash in self.hashes.items():
            if hash in ids and len(ids[hash]) < EXAMPLES:
                ids[hash].append(id)
        return [tuple(found) for found in ids.values()]


@dataclass
class Judged:
    """The judgments: a few bits for each text, each group and each pair of texts."""

    queries: Texts
    documents: Texts
    pairs: dict[bytes, int] = field(default_factory=dict)
    query_splits: dict[bytes, int] = field(default_factory=dict)
    answer_splits: dict[bytes, int] = field(default_factory=dict)
    group_splits: dict[str, int] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    seen_splits: set[Split | None] = field(default_factory=set)

    def see(self, judgment: Judgment) -> None:
        """Take note of one more judgment."""
        query = self.queries.hashes[judgment.query_id]
        document = self.documents.hashes[judgment.document_id]
        bit = _MEASURED.get(judgment.split, 0)
        self.seen_splits.add(judgment.split)
        _mark(self.pairs, query + document, _ANSWER if judgment.grade > 0 else _NO_ANSWER)
        _mark(self.query_splits, query, bit)
        _mark(self.group_splits, self.queries.groups.get(judgment.query_id, ""), bit)
        if judgment.grade > 0:
            self.asked.add(judgment.document_id)
            self.answered.add(judgment.query_id)
            _mark(self.answer_splits, document, bit)
            _mark(self.group_splits, self.documents.groups.get(judgment.document_id, ""), bit)

    def findings(self) -> Iterator[Finding]:
        """Yield what can be found in the judgments, but for contradictions."""
        yield self._leak(
            "query_leaks",
            self.queries,
            self.query_splits,
            "queries asked in more than one of train, dev and test",
            "Keep each in one split, for example by dividing anew by the hash of the groups.",
        )
        yield self._leak(
            "answer_leaks",
            self.documents,
            self.answer_splits,
            "documents that are an answer in more than one of train, dev and test",
            "Give what belongs together one group and divide anew, or read scores as optimistic.",
        )
        self.group_splits.pop("", None)  # no group
        groups = _in_several(self.group_splits)
        yield Finding(
            "group_leaks",
            "warning",
            len(groups),
            len(self.group_splits),
            "groups that lie in more than one of train, dev and test",
            "Divide anew by the hash of the groups, so that none is both learned and measured.",
            tuple(Example((g,), _names(self.group_splits[g])) for g in groups[:EXAMPLES]),
        )
        yield from self._gaps()

    def _leak(
        self, name: str, texts: Texts, splits: Mapping[bytes, int], what: str, advice: str
    ) -> Finding:
        leaks = _in_several(splits)
        alike = texts.alike(leaks[:EXAMPLES])
        return Finding(
            name,
            "error" if texts.role == "query" else "warning",
            len(leaks),
            len(splits),
            what,
            advice,
            tuple(
                Example(ids, _names(splits[hash])) for hash, ids in zip(leaks, alike, strict=False)
            ),
            texts.role,
        )

    def _gaps(self) -> Iterator[Finding]:
        unasked = [id for id in self.documents.hashes if id not in self.asked]
        yield Finding(
            "unasked_documents",
            "note",
            len(unasked),
            len(self.documents.hashes),
            "documents that answer no query",
            "They take part as wrong answers; more queries would make more of them.",
            tuple(Example((id,)) for id in unasked[:EXAMPLES]),
            "document",
        )
        unanswered = [id for id in self.queries.hashes if id not in self.answered]
        yield Finding(
            "unanswered_queries",
            "warning",
            len(unanswered),
            len(self.queries.hashes),
            "queries without an answer",
            "They are not measured; judge a document for them, or remove them.",
            tuple(Example((id,)) for id in unanswered[:EXAMPLES]),
            "query",
        )
        missing = [split for split in _MEASURED if split not in self.seen_splits]
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

    def contradicted(self) -> list[bytes]:
        """Return the pairs of texts that are judged both an answer and no answer."""
        return [pair for pair, bits in self.pairs.items() if bits == _ANSWER | _NO_ANSWER]

    def contradictions(self, judgments: Iterable[Judgment]) -> Finding:
        """Return the finding about them; `judgments` are read once more, for the examples."""
        pairs = self.contradicted()
        sides: dict[bytes, dict[bool, Judgment]] = {pair: {} for pair in pairs[:EXAMPLES]}
        for judgment in judgments if pairs else ():
            query = self.queries.hashes[judgment.query_id]
            pair = query + self.documents.hashes[judgment.document_id]
            if pair in sides:
                sides[pair].setdefault(judgment.grade > 0, judgment)
        return Finding(
            "contradictions",
            "error",
            len(pairs),
            len(self.pairs),
            "pairs of a query and a document judged both an answer and no answer",
            "Decide which holds, and remove the other judgment from the source.",
            tuple(_both(side[True], side[False]) for side in sides.values()),
        )


def _both(answer: Judgment, no_answer: Judgment) -> Example:
    ids = (answer.query_id, answer.document_id, no_answer.query_id, no_answer.document_id)
    sources = (answer.origin.source, no_answer.origin.source)
    return Example(tuple(dict.fromkeys(ids)), f"grade {answer.grade:g} and 0", sources)


def _mark(marks: dict[_Key, int], key: _Key, bits: int) -> None:
    marks[key] = marks.get(key, 0) | bits


def _in_several(splits: Mapping[_Key, int]) -> list[_Key]:
    return [key for key, bits in splits.items() if bits.bit_count() > 1]


def _names(bits: int) -> str:
    return ", ".join(str(split) for split, bit in _MEASURED.items() if bits & bit)
