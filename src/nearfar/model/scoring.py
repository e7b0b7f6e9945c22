"""Scoring many pairs in little memory: blocks of like length, whichever queries they are of.

Shapes: P pairs, b pairs of a chunk.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.memory import give_back_memory
from nearfar.progress import Progress

_PAIRS_PER_BLOCK = 4_096  # sorted by length together: their tokens alone are in memory

Pairs = npt.NDArray[np.int64]  # (P, 2): places of a query and of a document
Scored = Iterator[tuple[Pairs, Float[Tensor, " b"]]]  # rows of a block, and their scores


def score_in_blocks(
    documents: Sequence[str],
    pairs: Int[Tensor, "P 2"],
    block: Callable[[Pairs], Scored],
    progress: Progress,
) -> Float[Tensor, " P"]:
    """Return one score per pair, from those of blocks of pairs with documents of like length.

    Args:
        documents: all texts that pairs may name.
        pairs: places of a query and of a document.
        block: yields the scores of some pairs, a chunk at a time.
        progress: told of the pairs that are done.
    """
    scores = torch.empty(len(pairs))
    places = pairs.numpy().astype(np.int64, copy=False)
    lengths = np.fromiter(map(len, documents), dtype=np.int64, count=len(documents))
    # The longest first, so that lack of memory shows at once; a document's pairs together.
    order = np.lexsort((places[:, 1], -lengths[places[:, 1]]))
    done = 0
    for start in range(0, len(order), _PAIRS_PER_BLOCK):
        some = order[start : start + _PAIRS_PER_BLOCK]
        for rows, found in block(places[some]):
            scores[torch.from_numpy(some[rows])] = found
            done += len(rows)
            progress("scoring pairs", done, len(pairs))
        if len(some) == _PAIRS_PER_BLOCK:  # it takes longer than a few pairs do
            give_back_memory()  # chunks of all sizes leave gaps that add up
    return scores
