"""Words in memory: BM25 over documents that come and go.

What was written never changes, so that a search goes on undisturbed beside a writer: documents
come in segments, small neighbours are written anew as one, and what was taken out is left out
when it is counted.

Shapes: C documents, V words, P pairs of a word and a document that holds it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

from nearfar.data.words import words_of

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

K1, B = 1.5, 0.75
# Segments beyond this are left as they are until documents taken out are cleared away: 4,000,000
# pairs are sorted in half a second, which is long enough for a write to take.
_PAIRS_MERGED = 4_000_000


@dataclass(frozen=True, slots=True)
class _Segment:
    """The words of some documents that were put in one after another."""

    first: int  # the number of the first document
    lengths: Ints  # words of each document
    words: Ints  # (V,) numbers, ascending
    ends: npt.NDArray[np.int64]  # (V + 1,) where the pairs of each word begin
    documents: Ints  # (P,) by word, then ascending
    counts: Ints  # (P,) how often the word stands there

    def holding(self, word: int) -> slice:
        """Return where the pairs of a word stand."""
        at = int(np.searchsorted(self.words, word))
        if at == len(self.words) or self.words[at] != word:
            return slice(0, 0)
        return slice(int(self.ends[at]), int(self.ends[at + 1]))

    def word_of_pair(self) -> Ints:
        return np.repeat(self.words, np.diff(self.ends))


@dataclass(frozen=True)
class Words:
    """The words of all documents up to one moment; others come by making a new one."""

    numbers: dict[str, int]  # of the words; shared with those made of this, which only add
    segments: tuple[_Segment, ...] = ()

    def added(self, texts: Sequence[str]) -> "Words":
        """Return these words and those of further documents, which are numbered on from here."""
        if not texts:
            return self
        segments = [*self.segments, _segment(texts, self.numbers, self._count)]
        while len(segments) > 1 and _worth_merging(segments[-2], segments[-1]):
            segments[-2:] = [_merged(segments[-2:])]
        return Words(self.numbers, tuple(segments))

    def kept(self, keep: Truths) -> "Words":
        """Return the words of the chosen documents alone, numbered anew, in one segment."""
        if not self.segments:
            return self
        whole = _merged(self.segments)
        chosen = keep[whole.documents]
        numbers = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        words = whole.word_of_pair()[chosen]
        used = np.unique(words)
        new = dict(zip(used.tolist(), range(len(used)), strict=True))
        names = {word: new[number] for word, number in self.numbers.items() if number in new}
        segment = _by_word(
            0, whole.lengths[keep], np.searchsorted(used, words).astype(np.int32),
            numbers[whole.documents[chosen]], whole.counts[chosen],
        )  # fmt: skip
        return Words(names, (segment,))

    def scores(self, query: str, alive: Truths) -> Floats:
        """Return the BM25 score of every document (C,): 0 where it shares no word with the query.

            score(w, d) = log(1 + (N - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 (1 - b + b l_d / l))

        n_w of N documents hold w, f times in d; d has l_d words, l in the mean; k1 = 1.5,
        b = 0.75. A word that stands twice in the query counts twice. Documents that are not alive
        are not counted, and what stands in their places means nothing.

        Source: BM25 as Lucene has it; Kamphuis et al. 2020, doi:10.1007/978-3-030-45442-5_4,
            table 1.
        """
        scores = np.zeros(len(alive))
        total = int(alive.sum())
        mean = self._lengths[alive].sum() / total if total else 0
        for word, times in Counter(words_of(query)).items():
            number = self.numbers.get(word, -1)
            found = [(segment, segment.holding(number)) for segment in self.segments]
            held = sum(int(alive[s.documents[pairs]].sum()) for s, pairs in found)
            if not held:
                continue
            rarity = np.log1p((total - held + 0.5) / (held + 0.5))
            for segment, pairs in found:
                documents, counts = segment.documents[pairs], segment.counts[pairs]
                length = segment.lengths[documents - segment.first] / mean
                scores[documents] += times * rarity * counts / (counts + K1 * (1 - B + B * length))
        return scores

    @cached_property
    def _lengths(self) -> npt.NDArray[np.float64]:
        parts = [segment.lengths for segment in self.segments]
        return np.concatenate([np.empty(0), *parts], dtype=np.float64)

    @property
    def _count(self) -> int:
        last = self.segments[-1:]
        return last[0].first + len(last[0].lengths) if last else 0


def _segment(texts: Sequence[str], numbers: dict[str, int], first: int) -> _Segment:
    found = [[numbers.setdefault(w, len(numbers)) for w in words_of(text)] for text in texts]
    lengths = np.array([len(words) for words in found], np.int32)
    words = np.fromiter(chain.from_iterable(found), np.int64, int(lengths.sum()))
    places = np.repeat(np.arange(len(texts)), lengths)
    keys, counts = np.unique(words * len(texts) + places, return_counts=True)
    return _by_word(
        first, lengths, (keys // len(texts)).astype(np.int32),
        (keys % len(texts) + first).astype(np.int32), counts.astype(np.int32),
    )  # fmt: skip


def _by_word(first: int, lengths: Ints, words: Ints, documents: Ints, counts: Ints) -> _Segment:
    """Return a segment of pairs that are sorted by word."""
    own, begins = np.unique(words, return_index=True)
    return _Segment(first, lengths, own, np.append(begins, len(words)), documents, counts)


def _worth_merging(earlier: _Segment, later: _Segment) -> bool:
    """Return whether two are near enough in size: then a pair is written anew a few times only."""
    sizes = len(earlier.documents), len(later.documents)
    return sizes[0] <= 2 * sizes[1] + 64 and sum(sizes) <= _PAIRS_MERGED


def _merged(segments: Sequence[_Segment]) -> _Segment:
    if len(segments) == 1:
        return segments[0]
    words = np.concatenate([one.word_of_pair() for one in segments])
    order = words.argsort(kind="stable")  # later segments hold later documents
    return _by_word(
        segments[0].first,
        np.concatenate([one.lengths for one in segments]),
        words[order],
        np.concatenate([one.documents for one in segments])[order],
        np.concatenate([one.counts for one in segments])[order],
    )
