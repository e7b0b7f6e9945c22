"""Pieces: a document longer than its encoder reads is cut where it pauses, and overlaps itself.

Shapes: T tokens that the model reads of one text, prompt and special tokens included.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from nearfar.errors import BadSetting, require
from nearfar.model.encoder import Encoder
from nearfar.model.tokens import TextToTokens

Span = tuple[int, int]  # of characters: content[start:stop]
Count = Callable[[Sequence[str]], Sequence[int]]  # tokens of texts, all that the model adds too

VERSION = 1  # goes up with any change that cuts some text elsewhere
_LEAST_ROOM = 16  # tokens beside prompt and special ones: one character may take several
_MOST_OVERLAP = 0.5
_UNIT = 24  # characters of a unit, at most: a longer word or a run of Han is cut within
_UNITS_AT_ONCE = 8_192  # counted together: a tokenizer keeps some hundred bytes a token
# Letters, then what ends a sentence where no space does, then white space.
_STOPS = "\u3002\uff01\uff1f"  # Chinese and Japanese
_UNITS = rf"[^\s{_STOPS}]{{{{0,{{0}}}}}}[{_STOPS}]{{{{0,{{0}}}}}}\s{{{{0,{{0}}}}}}"
_SENTENCE = re.compile(rf"[.!?\u2026{_STOPS}][\"'\u201d\u2019\xbb)\]\u300d\u300f]*$")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_WITHIN, _WORD, _SENTENCE_END, _PARAGRAPH_END = range(4)  # the higher, the better a place to cut


@dataclass(frozen=True, slots=True)
class Cutting:
    """How long documents are cut."""

    # A piece has at most so many, prompt and special tokens included; None: as the model reads.
    tokens: int | None = None
    overlap: float = 0.1  # of a piece that also begins the next one, 0 to 0.5

    def __post_init__(self) -> None:
        require(self.tokens is None or self.tokens >= 1, "tokens of a piece", "1 or more",
                self.tokens)  # fmt: skip
        holds = 0 <= self.overlap <= _MOST_OVERLAP
        require(holds, "overlap of pieces", f"between 0 and {_MOST_OVERLAP}", self.overlap)


class Cutter:
    """Cuts documents for one encoder; without a rule, or a tokenizer, they stay whole."""

    def __init__(self, encoder: Encoder, cutting: Cutting | None) -> None:
        """Look at how many tokens the encoder reads.

        Raises:
            BadSetting: a piece would be longer than the model reads.
        """
        self._tokens = None if cutting is None else tokens_of(encoder)
        most = encoder.space.max_tokens
        self.most = most if cutting is None or cutting.tokens is None else cutting.tokens
        self.overlap = 0.0 if cutting is None else cutting.overlap
        require(self.most <= most, "tokens of a piece", f"at most {most}", self.most)

    @classmethod
    def of(cls, encoder: Encoder, rule: Mapping[str, Any] | None) -> "Cutter":
        """Return the one whose `rule` this was.

        Raises:
            BadSetting: documents were cut by another version of the rule.
        """
        if rule is None:
            return cls(encoder, None)
        if rule.get("version") != VERSION:
            raise BadSetting(
                f"Expected documents that were cut by version {VERSION} of the rule, found version "
                f"{rule.get('version')!r}. Build the index again with `nearfar index`."
            )
        return cls(encoder, Cutting(rule["tokens"], rule["overlap"]))

    @property
    def rule(self) -> dict[str, Any] | None:
        """What decides where a text is cut, beside the tokenizer; None: documents stay whole."""
        if self._tokens is None:
            return None
        return {"tokens": self.most, "overlap": self.overlap, "version": VERSION}

    def __call__(self, contents: Sequence[str]) -> list[tuple[Span, ...]]:
        """Return the pieces of each text; (0, its length) where it is short enough.

        Raises:
            BadSetting: prompt and special tokens leave no room in a piece.
        """
        if self._tokens is None:
            return [((0, len(content)),) for content in contents]
        lengths = self._count(contents)
        return [
            cut(content, self._count, self.most, overlap=self.overlap)
            if length > self.most
            else ((0, len(content)),)
            for content, length in zip(contents, lengths, strict=True)
        ]

    def _count(self, texts: Sequence[str]) -> Sequence[int]:
        assert self._tokens is not None, "nobody counts what stays whole"
        return self._tokens.count(texts, "document")


def tokens_of(encoder: Encoder) -> TextToTokens | None:
    """Return how an encoder turns texts into tokens; None where it does not say."""
    # Not part of the promise of an Encoder: one of pictures has no tokens.
    found = getattr(encoder, "tokens", None)
    return found if isinstance(found, TextToTokens) else None


def cut(content: str, count: Count, most: int, *, overlap: float = 0.1) -> tuple[Span, ...]:
    """Return spans that cover a text, each short enough, and one beginning within the other.

    A piece ends at the last paragraph of its second half, or else sentence, or word; the next one
    begins so much earlier, also at the best place there is. A character alone is never cut, even
    if the model makes more tokens of it than it reads.

    Args:
        content: what is cut.
        count: says how many tokens texts have, with all that the model adds.
        most: tokens of a piece, 1 or more.
        overlap: share of a piece that also begins the next one, 0 to 0.5.

    Raises:
        BadSetting: prompt and special tokens leave no room.
    """
    room = most - count([""])[0]
    if room < _LEAST_ROOM:
        raise BadSetting(
            f"Expected room for {_LEAST_ROOM} tokens or more in a piece of {most}, found "
            f"{room} beside the prompt and special tokens. Cut into longer pieces, or not at all."
        )
    text = _Units(content, count, room)
    shared = int(room * overlap)
    spans: list[Span] = []
    start, end = 0, 0  # units
    while end < len(text):
        stop = text.end_of(start, least=end + 1)
        while stop == end + 1 and start < end and text.too_long(start, stop):
            start += 1  # what overlaps leaves no room for anything new
        spans.append((text.places[start], text.places[stop]))
        start, end = text.overlapping(start + 1, stop, shared), stop
    return tuple(spans)


class _Units:
    """A text as the smallest parts that it is cut into, with their tokens and their borders."""

    def __init__(self, content: str, count: Count, room: int) -> None:
        # A byte a token is the worst that a tokenizer does: 4 tokens a character.
        size = max(1, min(_UNIT, room // 4))
        units = [one for one in re.findall(_UNITS.format(size), content) if one]
        self.content, self.room, self._count = content, room, count
        self.places = [0, *accumulate(map(len, units))]
        base = count([""])[0]
        self.tokens = [0]  # of all units before, roughly: neighbours may share a token
        for first in range(0, len(units), _UNITS_AT_ONCE):
            for length in count(units[first : first + _UNITS_AT_ONCE]):
                self.tokens.append(self.tokens[-1] + max(length - base, 0))
        self.borders = [_border(one) for one in units]  # at the end of each
        self._most = room + base

    def __len__(self) -> int:
        return len(self.borders)

    def too_long(self, start: int, stop: int) -> bool:
        """Return whether these units have more tokens together than a piece may have."""
        return self._spare(start, stop) < 0

    def end_of(self, start: int, *, least: int) -> int:
        """Return where a piece that begins there ends best, not before `least`."""
        stop, spare = start, self.room
        while spare >= 0 and (reach := self._reach(stop, spare)) > stop:
            stop, spare = reach, self._spare(start, reach)
        while stop > least and spare < 0:
            stop -= max(1, (stop - start) // 16)
            spare = self._spare(start, stop)
        stop = max(stop, least)
        if stop == len(self):
            return stop
        half = (self.tokens[start] + self.tokens[stop]) / 2
        ends = [end for end in range(least, stop + 1) if self.tokens[end] >= half] or [stop]
        return max(ends, key=lambda end: (self.borders[end - 1], end))

    def overlapping(self, least: int, stop: int, overlap: int) -> int:
        """Return where the piece after one that ends at `stop` begins."""
        starts = [stop]
        while starts[-1] > least and self.tokens[stop] - self.tokens[starts[-1] - 1] <= overlap:
            starts.append(starts[-1] - 1)
        earlier = starts[1:]
        # Where the overlap is so small that no unit fits in, it begins where the other ends.
        best = max((self.borders[one - 1] for one in earlier), default=None)
        return min((one for one in earlier if self.borders[one - 1] == best), default=stop)

    def _reach(self, start: int, tokens: int) -> int:
        """Return how far so many tokens should reach."""
        return bisect_right(self.tokens, self.tokens[start] + tokens) - 1

    def _spare(self, start: int, stop: int) -> int:
        """Return how many tokens a piece of these units could have more; below 0 if too many."""
        piece = self.content[self.places[start] : self.places[stop]]
        return self._most - self._count([piece])[0]


def _border(unit: str) -> int:
    """Return how good a place to cut the end of a unit is."""
    letters = unit.rstrip()
    white = unit[len(letters) :]
    if _PARAGRAPH.search(white):
        return _PARAGRAPH_END
    if "\n" in white or (_SENTENCE.search(letters) and (white or letters[-1] in _STOPS)):
        return _SENTENCE_END
    return _WORD if white else _WITHIN
