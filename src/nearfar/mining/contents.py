"""The documents of a dataset by their row: texts and vectors, on disk, mapped into memory.

Shapes: C documents, D dimensions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile
from nearfar.files import whole_file
from nearfar.fingerprint import fingerprint
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress
from nearfar.vectors.similarity import unit

_ROWS_PER_CHUNK = 2_048  # documents embedded at once


@contextmanager
def room(cache: Path | None) -> Iterator[Path]:
    """Yield the folder to work in: the cache, which stays, or one that goes."""
    if cache is not None:
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadFile(f"{cache}: cannot keep vectors there ({error.strerror}).") from error
        yield cache
        return
    with TemporaryDirectory(prefix="nearfar-mining-") as name:
        yield Path(name)


def document_vectors(
    encoder: Encoder, dataset: Dataset, documents: str, folder: Path, progress: Progress
) -> Float[Tensor, "C D"]:
    """Return the unit vectors of all documents, mapped from a file; made unless it is there.

    Args:
        encoder: whose vectors.
        dataset: whose documents.
        documents: names the texts of all rows in their order.
        folder: where the file lies. Its name is the fingerprint of the encoder's space and of
            the texts: another model, prompt or text can never be answered from it.
        progress: told while documents are embedded.
    """
    count, dim = dataset.count("documents"), encoder.space.dim
    name = fingerprint({"space": encoder.space.fingerprint, "documents": documents})
    path = folder / f"vectors-{name}.npy"
    if not path.is_file():
        with whole_file(path) as part:
            shape = (count, dim)
            vectors = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
            _embed(encoder, dataset, vectors, progress)
            vectors.flush()
            del vectors
    return torch.from_numpy(np.load(path, mmap_mode="c"))  # "c": torch wants to be able to write


def _embed(encoder: Encoder, dataset: Dataset, vectors: np.memmap, progress: Progress) -> None:
    done = 0
    for batch in dataset.batches("documents", ["content"]):
        for start in range(0, len(batch), _ROWS_PER_CHUNK):
            texts = batch["content"].slice(start, _ROWS_PER_CHUNK).to_pylist()
            vectors[done : done + len(texts)] = unit(encoder.encode(texts, "document")).numpy()
            done += len(texts)
            progress("embed documents", done, len(vectors))


class Texts:
    """The contents of all documents, by row."""

    def __init__(self, dataset: Dataset, documents: str, folder: Path) -> None:
        # Named by the texts in their order: a dataset's digest does not know the order of rows.
        path = folder / f"texts-{fingerprint({'documents': documents})}.arrow"
        if not path.is_file():
            schema = pa.schema([("content", pa.string())])
            with whole_file(path) as part, pa.OSFile(str(part), "wb") as sink, \
                    pa.ipc.new_file(sink, schema) as writer:  # fmt: skip
                for batch in dataset.batches("documents", ["content"]):
                    writer.write_batch(batch)
        with pa.memory_map(str(path)) as source:
            self._contents = pa.ipc.open_file(source).read_all()["content"]

    def __getitem__(self, rows: Sequence[int]) -> list[str]:
        found: list[str] = self._contents.take(pa.array(rows, pa.int64())).to_pylist()
        return found
