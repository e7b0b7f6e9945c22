"""Scored batches for the tests of a reranker's losses."""

import math
from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from rerank_twins import Row
from torch import Tensor

from nearfar.losses import Edges
from nearfar.losses.reranking import RERANKING_LOSSES

# Every loss, with every option away from its default at least once.
CASES = [
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy", {"highest_grade": 3.0, "positive_weight": 4.0}),
    ("graded_mse", {"highest_grade": 3.0}),
    ("graded_mse", {"activation": "none"}),
    ("listwise_softmax", {}),
    ("listwise_softmax", {"temperature": 0.3}),
    ("ranknet", {}),
    ("ranknet", {"temperature": 0.5, "weighting": "gap", "target": "teacher"}),
    ("lambdarank", {}),
    ("lambdarank", {"k": 2, "gain": "linear", "temperature": 2.0}),
    ("lambdarank", {"weighting": "ndcg_loss2"}),
    ("lambdarank", {"weighting": "ndcg_loss2++", "mu": 3.0, "k": 1}),
    ("list_mle", {}),
    ("list_mle", {"target": "teacher"}),
    ("p_list_mle", {}),
    ("p_list_mle", {"target": "teacher"}),
    ("margin_mse", {}),
    ("margin_mse", {"pairs": "all", "target": "grade"}),
    ("listwise_kl", {}),
    ("listwise_kl", {"temperature": 0.5, "teacher_temperature": 2.0, "target": "grade"}),
    ("adr_mse", {}),
    ("adr_mse", {"temperature": 0.2, "target": "grade"}),
]
NAMES = [
    "-".join([name, *(f"{option}={value}" for option, value in options.items())])
    for name, options in CASES
]


def loss(case: tuple[str, dict[str, object]], scores: Tensor, edges: Edges) -> Tensor:
    name, options = case
    return RERANKING_LOSSES[name](scores, edges, **options)


def scored(rows: Sequence[Row], excluded: Sequence[tuple[int, int]] = ()) -> tuple[Tensor, Edges]:
    """The scores and the edges of rows, in float64."""
    query, document, grade, teacher, score = zip(*rows, strict=True)
    pairs = torch.tensor(list(excluded), dtype=torch.long).reshape(-1, 2)
    return torch.tensor(score, dtype=torch.float64), Edges(
        torch.tensor(query), torch.tensor(document), torch.tensor(grade, dtype=torch.float64),
        pairs, score=torch.tensor(teacher, dtype=torch.float64),
    )  # fmt: skip


def rows_of(*lists: tuple[Sequence[float], Sequence[float]]) -> list[Row]:
    """Rows of lists of (grades, scores), whose teacher says three times the grade."""
    return [
        Row(q, d, grade, 3 * grade, score)
        for q, (grades, scores) in enumerate(lists)
        for d, (grade, score) in enumerate(zip(grades, scores, strict=True))
    ]


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[Row], list[tuple[int, int]]]:
    """Lists of 1 to 6 documents with ties of grades, teachers and scores, some pairs excluded."""
    some = st.integers(-4, 4).map(lambda quarter: quarter / 2)
    rows = [
        Row(
            query=q,
            document=d,
            grade=draw(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0])),
            teacher=draw(st.one_of(some, st.just(math.nan))),
            score=draw(some),
        )
        for q in range(draw(st.integers(1, 3)))
        for d in draw(st.lists(st.integers(0, 7), min_size=1, max_size=6, unique=True))
    ]
    out = draw(st.lists(st.sampled_from(rows), max_size=2))
    return rows, [(row.query, row.document) for row in out]


@st.composite
def teachable(draw: st.DrawFn) -> tuple[list[Row], list[tuple[int, int]]]:
    """Such lists beside one from which every loss has something to learn, one pair excluded."""
    rows, _ = draw(rankings())
    some = st.integers(-4, 4).map(lambda quarter: quarter / 2)
    certain = [Row(3, document, grade, teacher, draw(some))
               for document, grade, teacher in ((0, 1.0, 0.5), (1, 0.0, -1.0), (2, 2.0, 1.5))
               ]  # fmt: skip
    out = draw(st.lists(st.sampled_from([*rows, certain[2]]), min_size=1, max_size=2))
    return [*rows, *certain], [(row.query, row.document) for row in out]
