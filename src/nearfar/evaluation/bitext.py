"""Are translations found, both ways, among the other texts of their language?

Shapes: Q texts of one side, C of the other, D dimensions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from nearfar.vectors.nearest import nearest

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of each text of one side; 0 or 1, shares where it has several translations."""

    there: Floats  # (Q,) its nearest on the other side is a translation
    back: Floats  # (Q,) the share of its translations that have one of theirs as the nearest
    mutual: Bools  # (Q,) the text and its nearest are each other's nearest
    right: Bools  # (Q,) these, and translations of each other

    @property
    def accuracy(self) -> Floats:
        """Return, of each text, the mean of both ways."""
        return (self.there + self.back) / 2


def find_translations(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    translations: Sequence[Collection[int]],
) -> Found:
    """Look for the nearest of each text on the other side.

    Args:
        queries: unit vectors of texts in some language.
        documents: unit vectors of texts in another.
        translations: (Q,) rows of `documents` that say the same, one or more each.

    Raises:
        ValueError: a text has no translation.
    """
    if not all(translations):
        raise ValueError("every text needs a translation.")
    sources: list[set[int]] = [set() for _ in range(len(documents))]
    for row, own in enumerate(translations):
        for other in own:
            sources[other].add(row)
    forth = nearest(queries, documents, 1)[1][:, 0].tolist()
    back = nearest(documents, queries, 1)[1][:, 0].tolist()
    there = np.array([near in own for near, own in zip(forth, translations, strict=True)])
    returned = [back[row] in own for row, own in enumerate(sources)]
    mutual = np.array([back[near] == row for row, near in enumerate(forth)])
    return Found(
        there=there.astype(np.float64),
        back=np.array([np.mean([returned[row] for row in own]) for own in translations]),
        mutual=mutual,
        right=mutual & there,
    )


def mining_f1(right: Bools, mutual: Bools, texts: int) -> float:
    """Return F1 of taking every two texts that are each other's nearest for translations.

        precision = right / pairs taken,  recall = right / texts,  F1 = 2 P R / (P + R), 0 to 1

    Args:
        right: those taken that are translations.
        mutual: those taken.
        texts: how many have a translation.

    Source: the intersection of both directions, as in Artetxe and Schwenk 2019,
        arXiv:1811.01136, sec. 3.2, without a threshold.
    """
    return 2 * int(right.sum()) / (int(mutual.sum()) + texts) if texts else 0.0
