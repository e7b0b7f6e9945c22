"""Batches for the tests of losses."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from nearfar.losses import Edges


def edges(
    *triples: tuple[int, int, float], excluded: Sequence[tuple[int, int]] | None = None
) -> Edges:
    query, document, grade = zip(*triples, strict=True)
    return Edges(
        torch.tensor(query),
        torch.tensor(document),
        torch.tensor(grade, dtype=torch.float),
        None if excluded is None else torch.tensor(excluded, dtype=torch.long).reshape(-1, 2),
    )


def one_answer_each(count: int) -> Edges:
    return edges(*((i, i, 1.0) for i in range(count)))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, Edges]:
    """Some queries and documents with any edges between them, at least one of them positive."""
    q, c = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    pairs = draw(
        st.dictionaries(
            st.tuples(st.integers(0, q - 1), st.integers(0, c - 1)),
            st.sampled_from([0.0, 1.0, 2.0, -1.0]),  # -1: excluded
            min_size=1,
        ).filter(lambda found: max(found.values()) > 0)
    )
    excluded = [pair for pair, grade in pairs.items() if grade < 0]
    known = [(*pair, grade) for pair, grade in pairs.items() if grade >= 0]
    dice = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    return (
        torch.randn(q, 6, generator=dice),
        torch.randn(c, 6, generator=dice),
        edges(*known, excluded=excluded),
    )
