"""Alignment and uniformity are what loops say; a map is the same each time."""

import math

import numpy as np
import pytest
import torch

from nearfar.evaluation.embedded import Embedded, Task
from nearfar.evaluation.geometry import alignment, answer_rows, flat_map, uniformity
from nearfar.records import Query
from nearfar.vectors.similarity import unit


def test_alignment_is_the_squared_distance_of_each_pair() -> None:
    q, d = unit(torch.randn(5, 7)), unit(torch.randn(5, 7))
    expected = [
        math.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        for x, y in zip(q.tolist(), d.tolist(), strict=True)
    ]
    assert alignment(q, d).tolist() == pytest.approx(expected, abs=1e-6)


def test_uniformity_is_the_log_of_the_mean_kernel() -> None:
    x = unit(torch.randn(6, 5))
    rows = x.tolist()
    kernel = [
        math.exp(-2 * math.fsum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True)))
        for i in range(6)
        for j in range(i)
    ]
    assert uniformity(x) == pytest.approx(math.log(math.fsum(kernel) / len(kernel)), abs=1e-6)


def test_uniformity_knows_its_ends() -> None:
    assert uniformity(torch.ones(9, 4) / 2) == pytest.approx(0)  # all in one place
    assert uniformity(torch.eye(9)) == pytest.approx(-4)  # all at right angles
    with pytest.raises(ValueError, match="two vectors or more"):
        uniformity(torch.ones(1, 4))


def test_two_alone_and_opposite_are_as_far_apart_as_can_be() -> None:
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8)
    assert alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])).tolist() == [4.0]


def test_a_sample_of_many_is_the_same_each_time() -> None:
    x = unit(torch.randn(2_500, 8))
    assert uniformity(x, seed=1) == uniformity(x, seed=1)
    assert uniformity(x, seed=1) == pytest.approx(uniformity(x, seed=2), abs=0.05)


def task(count: int) -> Task:
    """Query i asks for document count - 1 - i, and knows a judged negative."""
    ids = tuple(f"d{i}" for i in range(count))
    return Task(
        queries=tuple(Query(id=f"q{i}", content="x") for i in range(count)),
        document_ids=ids,
        row_of={id_: row for row, id_ in enumerate(ids)},
        judged={f"q{i}": {f"d{i}": 0, f"d{count - 1 - i}": 1} for i in range(count)},
        without_answer=0,
    )


def test_only_answers_are_paired_with_their_queries() -> None:
    queries, documents = answer_rows(Embedded(task(4), torch.eye(4), torch.eye(4)))
    assert queries.tolist() == [0, 1, 2, 3]
    assert documents.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("place", [torch.ones(8) / 8**0.5, torch.zeros(8)])
def test_a_space_in_one_place_has_a_map_too(place: torch.Tensor) -> None:
    found = Embedded(task(8), place.repeat(8, 1), place.repeat(8, 1))
    queries, answers, rows = flat_map(found, 6, seed=0)
    assert queries.shape == answers.shape == (6, 2)
    assert np.isfinite(queries).all()
    assert np.isfinite(answers).all()
    assert rows == list(range(6))


@pytest.mark.parametrize("points", [1, 2, 3])
def test_a_map_of_few_points_has_them_all(points: int) -> None:
    found = Embedded(task(8), unit(torch.randn(8, 5)), unit(torch.randn(8, 5)))
    assert flat_map(found, points, seed=0)[0].shape == (points, 2)
