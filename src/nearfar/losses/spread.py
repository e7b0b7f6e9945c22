"""A regulariser that spreads vectors over the sphere, to stand beside any loss.

Shapes: Q queries, C documents, D dimensions.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.losses.blocks import Pairs, blockwise
from nearfar.losses.edges import Edges


def spread_out(
    queries: Float[Tensor, "Q D"], documents: Float[Tensor, "C D"], edges: Edges
) -> Float[Tensor, ""]:
    """Make queries and documents that are strangers as alike as random directions are.

        loss = M1^2 + max(0, M2 - 1/D),   M1 = mean s, M2 = mean s^2

    with s the cosine, over all pairs that are not known to belong together nor excluded: random
    directions of D dimensions have M1 = 0 and M2 = 1/D.

    Args:
        queries: one row per unique query; only directions count.
        documents: one row per unique document.
        edges: all judgments between them.

    Returns:
        A scalar without unit, 0 to 2; 0 without strangers.

    Source: Zhang et al. 2017, arXiv:1708.06320, eq. 6.
    """
    known = Pairs.sorted(*torch.unique(edges.known, dim=0).T)
    strangers = len(queries) * len(documents) - len(known.row)
    if strangers == 0:
        return (queries.sum() + documents.sum()) * 0.0

    def mean(power: int) -> Tensor:
        def summed(cosines: Tensor, rows: slice, temperature: Tensor) -> Tensor:
            hidden = known.within(rows)[1]
            return cosines.index_put(hidden, cosines.new_zeros(())).pow(power).sum() / strangers

        return blockwise(queries, documents, 1.0, summed)

    first, second = mean(1), mean(2)
    return first.square() + (second - 1 / queries.shape[1]).clamp_min(0)
