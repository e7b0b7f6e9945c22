"""Vectors as clients read them: numbers, base64, or one bit a number.

Shapes: N texts, d numbers.
"""

import base64
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.serve.embed_vectors import Vectors

Numbers = Literal["float", "binary", "ubinary"]


def packed(vectors: Vectors, numbers: Numbers) -> npt.NDArray[Any]:
    """Return vectors in the numbers that were asked for: (N, d), or of bits (N, d / 8).

    A bit is 1 where the number is above 0, the first the highest of its byte; `binary` is the
    byte less 128, as Cohere and Voyage have it.
    """
    if numbers == "float":
        return np.ascontiguousarray(vectors, dtype="<f4")
    octets = np.packbits(vectors > 0, axis=1)
    return octets if numbers == "ubinary" else (octets.astype(np.int16) - 128).astype(np.int8)


def in_base64(rows: npt.NDArray[Any]) -> list[str]:
    """Return the bytes of each row, little-endian, in base64."""
    return [base64.b64encode(row.tobytes()).decode("ascii") for row in rows]
