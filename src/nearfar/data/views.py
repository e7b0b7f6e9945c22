"""Reads plain texts: each is a document, and views of it, changed or not, are its queries.

    same        the text itself; dropout makes the difference (SimCSE)
    deletion    some words are missing
    crop        a stretch of it
    letters     letters swapped, lost or doubled, as in haste
    keyboard    letters hit beside their key

A view depends on seed, view and text alone: the same source always gives the same views.

Source: Gao et al. 2021, arXiv:2104.08821 (the same text twice); Izacard et al. 2021,
arXiv:2112.09118, sec. 3 (crops); Wei and Zou 2019, arXiv:1901.11196 (deletion).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from nearfar.data.columns import Columns
from nearfar.data.notes import Bundle, Record
from nearfar.data.rows import Row
from nearfar.data.table import TableReader, plain, text_of
from nearfar.errors import BadSetting
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query, Scalar

_DELETED = 0.2  # of the words
_CROPPED = (0.4, 0.8)  # of the words are kept
_CHANGED = 0.15  # of the words get one slip
_FEW_WORDS = 4  # with fewer, as in scripts without spaces, letters are deleted and cropped
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def deletion(text: str, dice: Random) -> str:
    """Return a text without about a fifth of its words, at least one of them."""
    parts, between = _parts(text)
    lost = {place for place in range(len(parts)) if dice.random() < _DELETED}
    if not lost:
        lost = {dice.randrange(len(parts))}
    elif len(lost) == len(parts):
        lost.discard(dice.randrange(len(parts)))
    kept = [part for place, part in enumerate(parts) if place not in lost]
    return between.join(kept)


def crop(text: str, dice: Random) -> str:
    """Return a stretch of 40 to 80 % of the words of a text."""
    parts, between = _parts(text)
    length = max(1, round(len(parts) * dice.uniform(*_CROPPED)))
    start = dice.randrange(len(parts) - length + 1)
    return between.join(parts[start : start + length])


def letters(text: str, dice: Random) -> str:
    """Return a text with a letter swapped, lost or doubled in about a seventh of its words."""
    return _slips(text, dice, _slip)


def keyboard(text: str, dice: Random) -> str:
    """Return a text with a neighbouring key hit in about a seventh of its words."""
    return _slips(text, dice, _beside)


VIEWS: dict[str, Callable[[str, Random], str]] = {
    "same": lambda text, _: text,
    "deletion": deletion,
    "crop": crop,
    "letters": letters,
    "keyboard": keyboard,
}


@dataclass
class TextsReader(TableReader):
    """Yields each text as a document, and its views as queries for it."""

    views: tuple[str, ...] = ("same",)
    seed: int = 0

    usual: ClassVar = {"query": "text sentence content document body passage", "document": "",
                       "grade": ""}  # fmt: skip
    needed: ClassVar = ("query",)

    def bundles(self) -> Iterator[Bundle]:
        """Yield the pairs of each text; raises what `TableReader.bundles` raises.

        Raises:
            BadSetting: a view is not known, or none is named.
        """
        if not self.views or set(self.views) - set(VIEWS):
            raise BadSetting(
                f"views: expected some of {', '.join(VIEWS)}, "
                f"got {', '.join(self.views) or 'none'}."
            )
        columns, divided = self._columns(), self._divided()
        return self._each(lambda row: self._row(row, columns, divided))

    def _row(self, row: Row, columns: Columns, divided: bool) -> list[Record] | str:
        split = self._split(row, columns, divided)
        text, fields = text_of(row, columns.query), self._fields(row, columns)
        id, group = content_id(text), plain(row, columns.group)
        document = Document(id=id, content=text, group=group, source=row.where, fields=fields)
        records: list[Record] = [document]
        for name in self.views:
            view = VIEWS[name](text, Random(f"{self.seed}:{name}:{id}")).strip()
            if not view or (view == text and name != "same"):
                self.notes.left_out[f"views by {name} that changed nothing or left nothing"] += 1
                continue
            facts: dict[str, Scalar] = {"view": name, "seed": self.seed}
            asked = content_id(view)
            records.append(
                Query(id=asked, content=view, group=group, source=row.where, fields=fields)
            )
            records.append(self._judgment(row, asked, id, 1.0, split, facts))
        return records if len(records) > 1 else "texts too short for a view"


def _parts(text: str) -> tuple[list[str], str]:
    words = text.split()
    return (words, " ") if len(words) >= _FEW_WORDS else (list(text), "")


def _slips(text: str, dice: Random, slip: Callable[[str, Random], str]) -> str:
    words = text.split(" ")
    able = [place for place, word in enumerate(words) if sum(map(str.isalpha, word)) > 2]
    chosen = [place for place in able if dice.random() < _CHANGED]
    for place in chosen or ([dice.choice(able)] if able else []):
        words[place] = slip(words[place], dice)
    return " ".join(words)


def _slip(word: str, dice: Random) -> str:
    place = dice.randrange(len(word) - 1)
    one, other = word[place], word[place + 1]
    return word[:place] + dice.choice((other + one, other, one + one + other)) + word[place + 2 :]


def _beside(word: str, dice: Random) -> str:
    places = [place for place, letter in enumerate(word) if letter.lower() in "".join(_KEYS)]
    if not places:
        return word
    place = dice.choice(places)
    row = next(row for row in _KEYS if word[place].lower() in row)
    at = row.index(word[place].lower())
    hit = row[at + 1 if at == 0 or (at < len(row) - 1 and dice.random() < 0.5) else at - 1]
    return word[:place] + (hit.upper() if word[place].isupper() else hit) + word[place + 1 :]
