"""What a reader wants its caller to say aloud: what it guessed, and what it left out."""

from collections import Counter
from dataclasses import dataclass, field

from nearfar.records import Document, Judgment, Query

Record = Document | Query | Judgment


@dataclass
class Notes:
    """Filled by a reader while it reads; nothing here is printed."""

    sentences: list[str] = field(default_factory=list)  # what was guessed or renamed
    left_out: Counter[str] = field(default_factory=Counter)  # what, and how often

    def say(self, sentence: str) -> None:
        """Keep a sentence for the caller, once."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)
