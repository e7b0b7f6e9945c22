"""How far a miner may be believed where it contradicts the judgments.

A document that it ranks above an answer is either one more answer, which nobody has judged, or the
miner's own mistake, which is what a model should learn from. A margin below the answer's score
refuses both: it pays where the miner is mostly right, and elsewhere throws the best negatives
away (LOG.md). How often it is right shows in the answers that are known.

Shapes: C documents, D dimensions.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.fingerprint import content_id
from nearfar.mining.finders import Exact
from nearfar.mining.known import Known, text_key
from nearfar.mining.settings import Mining
from nearfar.model.encoder import Encoder
from nearfar.model.precision import choose_device
from nearfar.vectors.similarity import unit

MARGIN = 0.05  # of the answer's score: the 95 % of arXiv:2407.15831
_RIGHT = 0.5  # share of the queries whose answer must come first: more often right than wrong
_FEW, _MANY = 30, 1_024  # queries: fewer say nothing, and more are not asked


@dataclass(frozen=True, slots=True)
class Trust:
    """What was seen of a miner, and the margin that follows."""

    margin: float | None  # as `Mining.relative_margin`, but settled
    answers_first: float | None = None  # share of the queries tried, 0 to 1; None: not measured
    queries: int = 0  # that were tried

    def sentences(self) -> list[str]:
        """Say in words what was found and what it led to; nothing where nothing was measured."""
        if self.answers_first is None:
            return []
        kept = (
            f"so what it ranks above an answer may well be one: a margin of {self.margin:g} is kept"
            if self.margin is not None
            else "so what it ranks above an answer is mostly its own mistake: no margin is kept "
            f"(mining.relative_margin = {MARGIN:g} keeps one)"
        )
        return [
            f"The miner ranks an answer first for {self.answers_first:.0%} of {self.queries:,} "
            f"queries, {kept}."
        ]


def trust_in(
    encoder: Encoder,
    dataset: Dataset,
    known: Known,
    vectors: Float[Tensor, "C D"],
    settings: Mining,
) -> Trust:
    """Return the margin that is wanted, or the one that follows from what the miner gets right.

    The queries are those of dev, which no miner has learned from, or those of train where dev has
    fewer than 30. Where train has fewer too, nothing can be seen, and the margin is kept.

    Args:
        encoder: the miner.
        dataset: that is mined.
        known: its judgments.
        vectors: of all documents, of length 1.
        settings: whose `relative_margin` is "auto", or else is taken as it is.
    """
    if settings.relative_margin != "auto":
        return Trust(settings.relative_margin)
    tried = _some(known.dev if len(known.dev) >= _FEW else known.mined_for)
    if len(tried) < _FEW:
        return Trust(MARGIN)
    asked = [query.content for query in dataset.queries() if query.id in tried]
    everything = torch.arange(len(vectors))
    rows = Exact(vectors, everything, choose_device()).find(
        asked, unit(encoder.encode(asked, "query")), 1
    )
    right = [
        known.texts[row] in {known.texts[answer] for answer in known.answers[text_key(query)]}
        for query, (row,) in zip(asked, rows.tolist(), strict=True)
    ]
    share = sum(right) / len(right)
    return Trust(MARGIN if share >= _RIGHT else None, share, len(right))


def _some(ids: AbstractSet[str]) -> AbstractSet[str]:
    """Return as many as are asked, the same ones whatever their order."""
    return frozenset(sorted(ids, key=content_id)[:_MANY])
