"""What came of mining."""

from collections.abc import Mapping
from dataclasses import dataclass

from nearfar.mining.audit import Audit
from nearfar.mining.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningSummary:
    """What was mined, and what was looked at and refused."""

    queries: int  # of the train split, with an answer: those that were mined for
    queries_with_none: int  # of them, those that no document was a safe negative for
    negatives: int
    documents_kept_back: int  # never offered: they belong to dev or test
    refused: Mapping[str, int]  # candidates, each by the first reason that held
    trust: Trust
    audit: Audit
    recall: float | None = None  # of an approximate search, against the exact one

    def sentences(self) -> list[str]:
        """Return in words what a person should know before training on the negatives."""
        return [*self.trust.sentences(), *self.audit.sentences()]
