"""Vectors of all documents of a dataset, made once, kept on disk and mapped into memory.

Shapes: C documents, D dimensions.
"""

import errno
import os
from pathlib import Path

import numpy as np
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


def make_cache(folder: Path) -> Path:
    """Make the folder that keeps vectors, unless it is there, and return it.

    Raises:
        BadFile: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadFile(
            f"{folder}: cannot keep vectors there ({error.strerror}). Name another folder."
        ) from error
    return folder


def document_vectors(
    encoder: Encoder, dataset: Dataset, documents: str, folder: Path, progress: Progress
) -> Float[Tensor, "C D"]:
    """Return the unit vectors of all documents, mapped from a file; made unless it is there.

    Args:
        encoder: whose vectors.
        dataset: whose documents.
        documents: names the texts of all rows in their order.
        folder: where the file lies; made if need be. Its name is the fingerprint of the encoder's
            space and of the texts: another model, prompt or text can never be answered from it,
            and whoever asks for the same may use what another made.
        progress: told while documents are embedded.

    Raises:
        BadFile: the folder cannot be written to, or the file is damaged.
    """
    shape = (dataset.count("documents"), encoder.space.dim)
    name = fingerprint({"space": encoder.space.fingerprint, "documents": documents})
    path = make_cache(folder) / f"vectors-{name}.npy"
    if not path.is_file():
        with whole_file(path) as part:
            vectors = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
            _embed(encoder, dataset, vectors, progress)
            vectors.flush()
            del vectors
    try:
        kept = np.load(path, mmap_mode="c")  # "c": torch wants to be able to write
    except (OSError, ValueError, EOFError) as error:
        raise BadFile(
            f"{path}: expected kept vectors, and they cannot be read ({error}). Remove the file: "
            "it is made again."
        ) from error
    return torch.from_numpy(kept)


def _embed(encoder: Encoder, dataset: Dataset, vectors: np.memmap, progress: Progress) -> None:
    done = 0
    for batch in dataset.batches("documents", ["content"]):
        for start in range(0, len(batch), _ROWS_PER_CHUNK):
            texts = batch["content"].slice(start, _ROWS_PER_CHUNK).to_pylist()
            vectors[done : done + len(texts)] = unit(encoder.encode(texts, "document")).numpy()
            done += len(texts)
            progress("embed documents", done, len(vectors))
