"""What a reader hands on: records row by row, and what its caller is to say aloud."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nearfar.records import Document, Judgment, Query

Record = Document | Query | Judgment


@dataclass(frozen=True, slots=True)
class Bundle:
    """All records of one row: they are taken together, or none of them is."""

    where: str  # file:line, or file:row N where a file has no lines
    records: tuple[Record, ...]
    raw: Mapping[str, Any] | str = ""  # as it was read, for the rejects
    left_out: str = ""  # why nothing is made of it, where nothing is
    again: bool = False  # more of a row that was handed on before


@dataclass
class Notes:
    """Filled by a reader while it reads; nothing here is printed."""

    sentences: list[str] = field(default_factory=list)  # what was guessed or renamed
    left_out: Counter[str] = field(default_factory=Counter)  # what, and how often

    def say(self, sentence: str) -> None:
        """Keep a sentence for the caller, once."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)
