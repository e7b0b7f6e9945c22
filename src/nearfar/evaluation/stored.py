"""Vectors in fewer bytes, and the exact search through them: what compression costs is measured.

Shapes: Q queries, C documents, D dimensions, K places, R candidates, B bytes of a document.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.vectors.nearest import nearest

Search = Callable[[Tensor, int], Tensor]  # (Q, D) and K, to the rows of documents (Q, K)

_LEVELS = 255  # steps of int8
_QUERIES_AT_ONCE = 64  # whose candidates are fetched together
_ROWS_AT_ONCE = 65_536  # that are rounded together
# Of each number of 16 bits, how many of them are 1.
_ONES = np.array([bin(number).count("1") for number in range(1 << 16)], dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Documents in one precision, and two searches that find the same."""

    name: str
    bytes_per_vector: float  # that a search walks through
    bytes_aside: int = 0  # of a document that only candidates are fetched from
    batch: Search  # of many queries at once
    alone: Search  # of one query, as it would be in use: this is what is timed


def float_vectors(documents: Float[Tensor, "C D"], dtype: torch.dtype) -> Stored:
    """Return documents as float32 or float16; queries and products are float32."""
    kept = documents.to(dtype)

    def search(queries: Tensor, k: int) -> Tensor:
        return nearest(queries, kept, k)[1]

    return Stored(
        name=str(dtype).removeprefix("torch."),
        bytes_per_vector=kept.element_size() * kept.shape[1],
        batch=search,
        alone=search,
    )


def int8_vectors(documents: Float[Tensor, "C D"]) -> Stored:
    """Return documents as bytes: 255 equal steps between the least and the most of each number.

        code = round( (x - low) / step ) - 128,   step = (high - low) / 255

    with low and high of all documents, dimension by dimension. Queries stay float32: each
    number is multiplied by its step, and what is left is the same for all documents.

    Source: as sentence-transformers and Faiss (SQ8) store them; queries as in Jégou et al. 2011,
        doi:10.1109/TPAMI.2010.57, section III-A (asymmetric distances).
    """
    low, high = documents.amin(0), documents.amax(0)
    step = ((high - low) / _LEVELS).clamp_min(torch.finfo(torch.float32).tiny)
    codes = torch.empty(documents.shape, dtype=torch.int8)
    for rows in torch.split(torch.arange(len(documents)), _ROWS_AT_ONCE):
        codes[rows] = (((documents[rows] - low) / step).round() - 128).to(torch.int8)

    def search(queries: Tensor, k: int) -> Tensor:
        return nearest(queries * step, codes, k)[1]

    return Stored(name="int8", bytes_per_vector=codes.shape[1], batch=search, alone=search)


def binary_vectors(documents: Float[Tensor, "C D"], *, rescored: int = 0) -> Stored:
    """Return documents as one bit a number, its sign; the nearest have most signs in common.

    Args:
        documents: unit vectors, as float32.
        rescored: so many of the first are put in order by their float32 vectors, which lie aside;
            0: none.

    Source: Charikar 2002, doi:10.1145/509907.509965, of signs and angles; rescored as in Yamada
        et al. 2021, arXiv:2106.00882, section 3, but by the documents' own vectors.
    """
    bits = _packed(documents)
    signs = _signs(documents)

    def batch(queries: Tensor, k: int) -> Tensor:
        # D less twice the signs that differ: the same order as Hamming's.
        found = nearest(_signs(queries).float(), signs, max(k, rescored))[1]
        if not rescored:
            return found
        some = torch.split(queries, _QUERIES_AT_ONCE), torch.split(found, _QUERIES_AT_ONCE)
        return torch.cat([_in_order(q, documents, r)[:, :k] for q, r in zip(*some, strict=True)])

    def alone(query: Tensor, k: int) -> Tensor:
        found = _fewest_apart(_packed(query), bits, max(k, rescored))
        return _in_order(query, documents, found)[:, :k] if rescored else found

    return Stored(
        name=f"binary, {rescored} rescored" if rescored else "binary",
        bytes_per_vector=documents.shape[1] / 8,
        bytes_aside=4 * documents.shape[1] if rescored else 0,
        batch=batch,
        alone=alone,
    )


def _signs(vectors: Tensor) -> Tensor:
    # Bytes all along: `where` with two whole numbers would make eight of each.
    return (vectors >= 0).to(torch.int8) * 2 - 1


def _packed(vectors: Tensor) -> npt.NDArray[np.uint16]:
    """Return the signs as bits (C, B), in words of 16."""
    bits = np.packbits((vectors >= 0).numpy(), axis=1)
    if bits.shape[1] % 2:
        bits = np.pad(bits, ((0, 0), (0, 1)))
    return bits.view(np.uint16)


def _fewest_apart(
    query: npt.NDArray[np.uint16], bits: npt.NDArray[np.uint16], k: int
) -> Int[Tensor, "1 K"]:
    """Return the rows of fewest differing bits; equals keep their order."""
    apart = _ONES[query ^ bits].sum(axis=1, dtype=np.int32)  # (C,)
    within = np.cumsum(np.bincount(apart))
    last = int(np.searchsorted(within, min(k, len(bits))))  # distance of the k-th
    rows = np.flatnonzero(apart <= last)
    first = rows[np.argsort(apart[rows], kind="stable")][:k]
    return torch.from_numpy(first)[None]


def _in_order(
    queries: Float[Tensor, "Q D"], documents: Float[Tensor, "C D"], rows: Int[Tensor, "Q R"]
) -> Int[Tensor, "Q R"]:
    """Return candidates by their cosine; equals keep their order."""
    scores = (documents[rows] * queries[:, None]).sum(-1)
    return rows.gather(1, scores.sort(dim=1, descending=True, stable=True).indices)
