"""What a metric can be for one query: what is likely, unless something else was seen."""

import numpy as np
import pytest

from nearfar.evaluation.intervals import estimate
from nearfar.evaluation.measure import likely_span, span_of


@pytest.mark.parametrize(
    ("metric", "inside", "outside", "likely"),
    [
        ("margin_score", [-1.0, 0.3, 1.0], [0.3, -1.01], (-1, 1)),
        ("margin_score", [0.0], [1.01], (-1, 1)),
        ("alignment_loss", [0.0, 2.0], [2.01], (0, 2)),
        ("ndcg_at_10_score", [0.0, 1.0], [0.5], (0, 1)),
    ],
)
def test_the_likely_is_left_where_one_query_lies_outside(
    metric: str, inside: list[float], outside: list[float], likely: tuple[float, float]
) -> None:
    within, beyond = np.array(inside), np.array(outside)
    assert likely_span(metric, within) == likely_span(metric, within, within) == likely
    assert likely_span(metric, beyond) == likely_span(metric, within, beyond) == span_of(metric)


def test_it_halves_what_a_few_groups_leave_open() -> None:
    margins = np.random.default_rng(0).normal(0.3, 0.1, 100)
    names = [str(i) for i in range(100)]
    near = estimate(margins, names, span=likely_span("margin_score", margins))
    far = estimate(margins, names, span=span_of("margin_score"))
    assert near.low is not None
    assert far.low is not None
    assert near.mean - near.low < 0.7 * (far.mean - far.low)
