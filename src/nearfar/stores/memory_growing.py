"""Arrays that grow at their end while others read what stands before it."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_FIRST = 64  # rows
_GROWTH = 1.5  # what is not yet written takes no memory: the system gives pages at their first use


class Growing:
    """Rows of one shape and kind; what was written once never changes."""

    def __init__(self, kind: npt.DTypeLike, *width: int) -> None:
        self._rows = np.empty((0, *width), kind)
        self._count = 0

    def __len__(self) -> int:
        """Return how many rows were written."""
        return self._count

    def reserve(self, more: int) -> None:
        """Make room for so many rows; where there is none (MemoryError), nothing has changed."""
        needed = self._count + more
        if needed <= len(self._rows):
            return
        size = max(needed, int(_GROWTH * len(self._rows)), _FIRST)
        grown = np.empty((size, *self._rows.shape[1:]), self._rows.dtype)
        grown[: self._count] = self.view()
        self._rows = grown  # who reads the former rows goes on with them

    def append(self, rows: npt.ArrayLike) -> None:
        """Write rows for which there is room."""
        added = np.asarray(rows, self._rows.dtype)
        self._rows[self._count : self._count + len(added)] = added
        self._count += len(added)

    def view(self) -> Array:
        """Return what is written by now, without a copy; rows to come do not change it."""
        return self._rows[: self._count]

    def kept(self, keep: Array) -> "Growing":
        """Return the chosen rows alone, in new memory."""
        some = Growing(self._rows.dtype, *self._rows.shape[1:])
        some._rows = self.view()[keep]
        some._count = len(some._rows)
        return some
