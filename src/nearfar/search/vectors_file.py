"""Vectors on disk: one safetensors file, written as they come and opened without reading them.

Shapes: N vectors, D dimensions.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nearfar.errors import BadFile, BadModel

Storage = Literal["float32", "float16"]
STORAGES: dict[Storage, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}

_NAME = "vectors"
_DTYPES: dict[Storage, str] = {"float32": "F32", "float16": "F16"}


@contextmanager
def write_vectors(
    path: Path, shape: tuple[int, int], storage: Storage
) -> Iterator[Callable[[Float[Tensor, "N D"]], None]]:
    """Yield a function that appends rows to the file.

    The library writes only tensors that stand in memory whole, so the header, whose layout
    is fixed and documented, is written here, and the rows follow as they come.

    Raises:
        BadFile: when the block ends, the rows were not as many as `shape` said.
        BadModel: a number does not fit: it is NaN, infinite, or too large for the storage.
    """
    rows = 0
    with path.open("wb") as file:
        file.write(_header(shape, storage))

        def append(vectors: Float[Tensor, "N D"]) -> None:
            nonlocal rows
            stored = vectors.to(STORAGES[storage]).contiguous()
            if stored.shape[1] != shape[1]:
                raise BadModel(
                    f"Expected vectors of {shape[1]} dimensions, as the model's space says, "
                    f"found {stored.shape[1]}. Check the model's configuration."
                )
            if not stored.isfinite().all():
                row = rows + int((~stored.isfinite()).any(dim=1).nonzero()[0])
                raise BadModel(
                    f"The vector of row {row:,} holds a number that is not finite as {storage}. "
                    "Look at the text of that row, and check the model with a short text."
                )
            stored.numpy().tofile(file)
            rows += len(stored)

        yield append
    if rows != shape[0]:
        raise BadFile(
            f"{path}: expected {shape[0]:,} vectors, got {rows:,}. The dataset's tables and its "
            "manifest.json do not agree; import the source again."
        )


def _header(shape: tuple[int, int], storage: Storage) -> bytes:
    size = shape[0] * shape[1] * STORAGES[storage].itemsize
    facts = {_NAME: {"dtype": _DTYPES[storage], "shape": shape, "data_offsets": [0, size]}}
    text = json.dumps(facts).encode()
    text += b" " * (-len(text) % 8)  # the numbers then begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def open_vectors(path: Path) -> Float[Tensor, "N D"]:
    """Return the vectors of a file, memory-mapped: pages are read when they are looked at.

    The tensor is for reading; writing to it ends the process. The mapping is read-only, since
    a file larger than memory cannot be mapped for writing, which is what safetensors would do.

    Raises:
        BadFile: the file is missing, cut short, or holds something else.
    """
    try:
        with safe_open(path, framework="numpy") as file:  # checks the header and the length
            names = list(file.keys())
            part = file.get_slice(_NAME) if names == [_NAME] else None
            shape, kind = (part.get_shape(), part.get_dtype()) if part else (names, "")
        storage = next((name for name, dtype in _DTYPES.items() if dtype == kind), None)
        if storage is not None and len(shape) == 2:
            return _mapped(path, shape, storage)
    except (OSError, SafetensorError) as error:
        raise BadFile(
            f"{path}: expected the vectors of an index, and it cannot be read ({error}). "
            "Build the index again with `nearfar index`."
        ) from error
    raise BadFile(
        f"{path}: expected one table of {' or '.join(STORAGES)} numbers called {_NAME!r}, "
        f"found {shape} {kind}. Build the index again with `nearfar index`."
    )


def _mapped(path: Path, shape: list[int], storage: Storage) -> Float[Tensor, "N D"]:
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
    table = np.memmap(path, dtype=storage, mode="r", offset=start, shape=(shape[0], shape[1]))
    with warnings.catch_warnings():
        # torch cannot mark a tensor as read-only and warns of it at each one.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(table)
