"""Which written queries are fit to learn from, judged by their text alone."""

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from nearfar.data.spool import short_hash
from nearfar.synthesis.candidates import Candidate
from nearfar.synthesis.settings import Filters


def normal(text: str) -> str:
    """Return what two texts share if only case, white space or the last marks differ.

    >>> normal("What is  a Cat?") == normal("what is a cat")
    True
    """
    return " ".join(text.split()).casefold().rstrip(" ?!.")


def copied_share(query: str, passage: str) -> float:
    """Return how much of a query stands in one piece in a passage, 0 to 1, by characters.

    >>> copied_share("the cat sat here", "Once the cat sat there")
    0.75
    """
    query, passage = normal(query), normal(passage)
    # A piece of some length is there only if shorter ones are: the longest is found by halving.
    there, missing = 0, len(query) + 1
    while missing - there > 1:
        length = (there + missing) // 2
        pieces = (query[i : i + length] for i in range(len(query) - length + 1))
        if any(piece in passage for piece in pieces):
            there = length
        else:
            missing = length
    return there / max(len(query), 1)


@dataclass
class TextSieve:
    """Keeps candidates by their text alone."""

    filters: Filters
    asked: set[bytes]  # of every query so far, in any split
    copies_allowed: bool  # where a query is a copy by design
    dropped: Counter[str] = field(default_factory=Counter)

    def sift(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Yield those that pass, and count the others by reason."""
        written: set[bytes] = set()
        for candidate in candidates:
            key = short_hash(normal(candidate.text))
            reason = self._reason(candidate, key, written)
            if reason is None:
                written.add(key)
                yield candidate
            else:
                self.dropped[reason] += 1

    def _reason(self, candidate: Candidate, key: bytes, written: AbstractSet[bytes]) -> str | None:
        filters, length = self.filters, len(candidate.text)
        if length < filters.shortest_characters:
            return "too short"
        if length > filters.longest_characters:
            return "too long"
        if key in self.asked:
            return "asked by someone already"
        if key in written:
            return "written before"
        if self._copied(candidate):
            return "copied from the passage"
        return None

    def _copied(self, candidate: Candidate) -> bool:
        most = self.filters.copied_share
        if most is None or self.copies_allowed:
            return False
        if len(candidate.text) < self.filters.copied_characters:
            return False
        return copied_share(candidate.text, candidate.passage.text) >= most
