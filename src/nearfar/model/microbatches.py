"""Texts of like length together, so that little is computed for padding."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int
from torch import Tensor

Rows = npt.NDArray[np.int64]

# Computed at once, padding included: about 2,000 tokens fill the caches of a core, and more are
# slower on a CPU (LOG.md).
TOKENS_PER_CHUNK = {"cpu": 2_048, "cuda": 65_536}


def micro_batches(lengths: Sequence[int] | Rows, tokens_per_chunk: int) -> Iterator[Rows]:
    """Yield groups of rows, longest texts first, so that lack of memory shows at once.

    Args:
        lengths: tokens of each text.
        tokens_per_chunk: most tokens of a group, padding included; a text that is longer
            than that stands alone.

    >>> [rows.tolist() for rows in micro_batches([5, 2, 9, 2], 10)]
    [[2], [0, 1], [3]]
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        stop = start + max(tokens_per_chunk // longest, 1)
        yield order[start:stop]
        start = stop


def pad(
    rows: Sequence[Sequence[int] | npt.NDArray[np.int32]], pad_id: int, most: int = 0
) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Return token ids padded on the right, and which of them are real.

    Args:
        rows: token ids of each text.
        pad_id: what short rows are filled up with.
        most: as far as this many tokens, lengths are rounded up to a multiple of 8: products
            and softmax of such lengths are faster by more than the padding costs (LOG.md).
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    longest = int(lengths.max(initial=0))
    width = max(min(-(-longest // 8) * 8, most), longest)
    real = np.arange(width)[None, :] < lengths[:, None]  # (B, L)
    ids = np.full(real.shape, pad_id, dtype=np.int64)
    ids[real] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return torch.from_numpy(ids), torch.from_numpy(real)
