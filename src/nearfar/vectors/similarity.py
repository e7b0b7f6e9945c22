"""How alike two vectors are.

Shapes: Q queries, C candidates, N vectors, D dimensions, P pairs.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor


def unit(vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Scale each row to length 1, in float32 or better whatever came in; zeros stay zero."""
    exact = vectors if vectors.dtype == torch.float64 else vectors.float()
    return F.normalize(exact, dim=-1)


def cosine(queries: Float[Tensor, "Q D"], candidates: Float[Tensor, "C D"]) -> Float[Tensor, "Q C"]:
    """Cosine of each query with each candidate, -1 to 1, in float32."""
    return unit(queries) @ unit(candidates).T


def pair_cosines(
    queries: Float[Tensor, "Q D"],
    candidates: Float[Tensor, "C D"],
    row: Int[Tensor, " P"],
    column: Int[Tensor, " P"],
) -> Float[Tensor, " P"]:
    """Cosine of some pairs alone: of query row[p] with candidate column[p]."""
    return (unit(queries)[row] * unit(candidates)[column]).sum(1)
