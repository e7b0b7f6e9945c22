"""The texts of a dataset by their row, and vectors of its documents, mapped from disk.

Shapes: C documents, D dimensions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.files import whole_file
from nearfar.fingerprint import fingerprint
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress
from nearfar.vectors.similarity import unit

_ROWS_PER_CHUNK = 2_048  # documents embedded at once


class Texts:
    """The contents of all documents, or of all queries, by row."""

    def __init__(
        self, dataset: Dataset, table: Literal["documents", "queries"], folder: Path
    ) -> None:
        path = folder / f"{table}.arrow"
        schema = pa.schema([("content", pa.string())])
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in dataset.batches(table, ["content"]):
                writer.write_batch(batch)
        with pa.memory_map(str(path)) as source:
            self._contents = pa.ipc.open_file(source).read_all()["content"]

    def __getitem__(self, rows: Sequence[int]) -> list[str]:
        found: list[str] = self._contents.take(pa.array(rows, pa.int64())).to_pylist()
        return found


def document_vectors(
    encoder: Encoder, dataset: Dataset, documents: str, folder: Path, progress: Progress
) -> Float[Tensor, "C D"]:
    """Return the unit vectors of all documents, mapped from a file; made unless it is there.

    Args:
        encoder: whose vectors.
        dataset: whose documents.
        documents: names the texts of all rows in their order.
        folder: where the file lies. Its name is the fingerprint of the encoder's space and of
            the texts, as in the cache of `nearfar mine`: each may use what the other made.
        progress: told while documents are embedded.
    """
    count, dim = dataset.count("documents"), encoder.space.dim
    name = fingerprint({"space": encoder.space.fingerprint, "documents": documents})
    path = folder / f"vectors-{name}.npy"
    if not path.is_file():
        with whole_file(path) as part:
            vectors = np.lib.format.open_memmap(
                part, mode="w+", dtype=np.float32, shape=(count, dim)
            )
            done = 0
            for batch in dataset.batches("documents", ["content"]):
                for start in range(0, len(batch), _ROWS_PER_CHUNK):
                    texts = batch["content"].slice(start, _ROWS_PER_CHUNK).to_pylist()
                    end = done + len(texts)
                    vectors[done:end] = unit(encoder.encode(texts, "document")).numpy()
                    done = end
                    progress("embed documents", done, count)
            vectors.flush()
            del vectors
    return torch.from_numpy(np.load(path, mmap_mode="c"))  # "c": torch wants to be able to write
