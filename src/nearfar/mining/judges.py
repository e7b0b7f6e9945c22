"""Whom a miner may ask."""

from dataclasses import dataclass

from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker


@dataclass(frozen=True, slots=True)
class Judges:
    """Better models that may say that a candidate is an answer after all."""

    guide: Encoder | None = None
    teacher: Reranker | None = None

    @property
    def fingerprints(self) -> dict[str, str | None]:
        """Name those that are asked, by all that moves what they say."""
        return {
            "guide": None if self.guide is None else self.guide.space.fingerprint,
            "teacher": None if self.teacher is None else self.teacher.fingerprint,
        }
