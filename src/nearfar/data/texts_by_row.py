"""Texts by their row, on disk and mapped into memory: only those that are asked for are copied."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfar.data.dataset import Dataset, Table
from nearfar.errors import BadFile
from nearfar.files import whole_file
from nearfar.fingerprint import fingerprint


class Texts:
    """The contents of a table of a dataset, by row.

    Memory: where each piece of a few thousand rows begins, and the texts that were asked for.
    `take` on all pieces at once would join them first, and so copy every text to pick one.
    """

    def __init__(
        self, dataset: Dataset, table: Table, folder: Path, *, named: str | None = None
    ) -> None:
        """Write the texts to a file unless it is there, and map it.

        Args:
            dataset: whose texts.
            table: documents or queries.
            folder: where the file lies.
            named: names the texts of all rows in their order; so does the file then, and stays
                true wherever it is kept. A dataset's digest does not know the order of rows.
                None: the folder is of one dataset, and goes with whoever made it.

        Raises:
            BadFile: the file cannot be written, or is damaged.
        """
        name = table if named is None else f"texts-{fingerprint({table: named})}"
        self.path = path = folder / f"{name}.arrow"
        try:
            if not path.is_file():
                _write(dataset, table, path)
            with pa.memory_map(str(path)) as source:
                self._pieces = pa.ipc.open_file(source).read_all()["content"].chunks
        except (OSError, pa.ArrowInvalid) as error:
            raise BadFile(
                f"{path}: cannot keep texts there ({error}). Remove the file, or name another "
                "folder."
            ) from error
        self._ends = np.cumsum([len(piece) for piece in self._pieces], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, rows: Sequence[int]) -> list[str]:
        wanted = np.asarray(rows, dtype=np.int64)
        if not len(wanted):
            return []
        if not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows must be 0 to {len(self) - 1:,}, got {wanted.tolist()[:9]}.")
        order = np.argsort(wanted, kind="stable")
        piece_of = np.searchsorted(self._ends, wanted[order], side="right")
        cuts = np.flatnonzero(np.diff(piece_of)) + 1
        found = [""] * len(wanted)
        for places, number in zip(np.split(order, cuts), piece_of[[0, *cuts]], strict=True):
            piece = self._pieces[number]
            first = self._ends[number] - len(piece)
            some = piece.take(pa.array(wanted[places] - first)).to_pylist()
            for place, text in zip(places.tolist(), some, strict=True):
                found[place] = text
        return found


def _write(dataset: Dataset, table: Table, path: Path) -> None:
    schema = pa.schema([("content", pa.string())])
    with whole_file(path) as part, pa.OSFile(str(part), "wb") as sink, \
            pa.ipc.new_file(sink, schema) as writer:  # fmt: skip
        for batch in dataset.batches(table, ["content"]):
            writer.write_batch(batch)
