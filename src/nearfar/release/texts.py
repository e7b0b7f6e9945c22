"""What a labeller is shown: texts that can do no harm, with the words of the query marked.

Documents come from anywhere. What a terminal or a reader would take for an order, or what turns
the direction of writing around, is replaced before anyone sees it.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nearfar.data.dataset import Dataset
from nearfar.data.words import words_of
from nearfar.errors import BadRecord
from nearfar.release.queue import Item

FOLDED = 1_200  # characters of a document that are shown at first
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_KEPT = "\n\t"
_FEWEST = 2  # letters of a word that is marked; single ones are everywhere

Parts = list[tuple[str, bool]]  # a text in pieces, and whether each is a word of the query


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair as it is shown."""

    query: str
    parts: Parts
    folded: Parts  # the beginning alone
    more: int  # characters that are folded away


class Texts:
    """The texts of a queue, in memory: people mark thousands, not millions."""

    def __init__(self, dataset: Dataset, items: Sequence[Item], queue: str) -> None:
        """Read them.

        Raises:
            BadRecord: the dataset lacks a text that the queue names.
        """
        self._queries = {item.query_id: item.content for item in items if item.content}
        wanted = {item.query_id for item in items} - self._queries.keys()
        self._queries |= {one.id: one.content for one in dataset.queries() if one.id in wanted}
        named = {item.document_id for item in items}
        self._documents = {d.id: d.content for d in dataset.documents() if d.id in named}
        for item in items:
            for what, id_, there in (("query", item.query_id, self._queries),
                                     ("document", item.document_id, self._documents)):  # fmt: skip
                if id_ not in there:
                    raise BadRecord(
                        f"{queue}:{item.line}: expected a {what} of {dataset.folder}, found "
                        f"{id_!r}, which it does not have. Is it the queue of another dataset?"
                    )

    def shown(self, item: Item) -> Shown:
        """Return a pair as it is shown."""
        query = harmless(self._queries[item.query_id])
        document = harmless(self._documents[item.document_id])
        head = document if len(document) <= FOLDED * 5 // 4 else _head(document)
        words = frozenset(word for word in words_of(query) if len(word) >= _FEWEST)
        return Shown(query, marked(document, words), marked(head, words),
                     len(document) - len(head))  # fmt: skip


def harmless(text: str) -> str:
    r"""Return a text without control characters, and without what turns its direction around.

    >>> harmless("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join("\ufffd" if _harms(sign) else sign for sign in text.replace("\r\n", "\n"))


def marked(text: str, words: Iterable[str]) -> Parts:
    """Return a text in pieces, those apart that are words of the query.

    >>> marked("Brew the tea.", {"tea"})
    [('Brew the ', False), ('tea', True), ('.', False)]
    """
    wanted = frozenset(words)
    parts: Parts = []
    for run in _runs(text):
        hit = _in_word(run[0]) and not wanted.isdisjoint(words_of(run))
        if parts and parts[-1][1] == hit:
            parts[-1] = (parts[-1][0] + run, hit)
        else:
            parts.append((run, hit))
    return parts


def _runs(text: str) -> Iterable[str]:
    """Yield runs of letters and digits, and what stands between them."""
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or _in_word(text[place]) != _in_word(text[start]):
            yield text[start:place]
            start = place


def _in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_" or unicodedata.category(sign)[0] == "M"


def _head(text: str) -> str:
    """Return the beginning, up to a space where one is near."""
    cut = text.rfind(" ", FOLDED - 80, FOLDED)
    return text[: cut if cut > 0 else FOLDED]


def _harms(sign: str) -> bool:
    return (unicodedata.category(sign) == "Cc" and sign not in _KEPT) or sign in _TURNS
