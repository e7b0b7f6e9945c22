"""Smaller vectors: each search is a loop's, and what they cost is taken query by query."""

import math
from itertools import count

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nearfar.errors import BadSetting
from nearfar.evaluation.curve_pictures import curves_picture
from nearfar.evaluation.curves import Curves, cost_curves, told_of_curves
from nearfar.evaluation.embedded import Embedded, Task
from nearfar.evaluation.stored import Stored, binary_vectors, float_vectors, int8_vectors
from nearfar.records import Query
from nearfar.vectors.similarity import unit

DIMS = 44  # neither whole words of bits nor whole bytes


def vectors(rows: int, seed: int) -> torch.Tensor:
    return unit(torch.randn(rows, DIMS, generator=torch.Generator().manual_seed(seed)))


def embedded(*, noise: float = 0.6, queries: int = 60, documents: int = 200) -> Embedded:
    """Query i is document i, seen through noise."""
    found = vectors(documents, 0)
    ids = tuple(f"d{i}" for i in range(documents))
    task = Task(
        queries=tuple(Query(id=f"q{i}", content="x") for i in range(queries)),
        document_ids=ids,
        row_of={id_: row for row, id_ in enumerate(ids)},
        judged={f"q{i}": {f"d{i}": 1.0} for i in range(queries)},
        without_answer=0,
    )
    return Embedded(task, unit(found[:queries] + noise * vectors(queries, 1)), found)


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def best(scores: list[float], k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: -scores[i])[:k]


def test_both_searches_of_binary_vectors_are_what_signs_in_common_say() -> None:
    queries, documents = vectors(7, 2), vectors(90, 3)
    documents[5, 3] = 0.0  # counts as above 0, as in training
    stored = binary_vectors(documents)
    expected = [
        best([float(sum((a >= 0) == (b >= 0) for a, b in zip(q, d, strict=True)))
              for d in documents.tolist()], 10)
        for q in queries.tolist()
    ]  # fmt: skip
    assert stored.batch(queries, 10).tolist() == expected
    assert [stored.alone(one[None], 10)[0].tolist() for one in queries] == expected
    assert stored.bytes_per_vector == DIMS / 8


def test_candidates_are_rescored_by_their_own_vectors() -> None:
    queries, documents = vectors(70, 4), vectors(90, 5)
    stored = binary_vectors(documents, rescored=25)
    found = binary_vectors(documents).batch(queries, 25).tolist()
    for row, (q, candidates) in enumerate(zip(queries.tolist(), found, strict=True)):
        order = best([dot(q, documents[place].tolist()) for place in candidates], 10)
        expected = [candidates[place] for place in order]
        assert stored.batch(queries, 10)[row].tolist() == expected
        assert stored.alone(queries[row : row + 1], 10)[0].tolist() == expected
        if row == 3:
            break
    assert stored.batch(queries, 10).shape == (70, 10)
    assert stored.bytes_aside == 4 * DIMS


def test_int8_vectors_are_found_by_what_their_codes_stand_for() -> None:
    queries, documents = vectors(6, 6), vectors(90, 7)
    documents[:, 4] = 0.25  # a number that never changes
    columns = list(zip(*documents.tolist(), strict=True))
    read = []
    for d in documents.tolist():
        own = []
        for x, column in zip(d, columns, strict=True):
            low, high = min(column), max(column)
            step = (high - low) / 255
            own.append(low + (round((x - low) / step) * step if step else 0))
        read.append(own)
    found = int8_vectors(documents).batch(queries, 10)
    for row, q in zip(found.tolist(), queries.tolist(), strict=True):
        scores = [dot(q, d) for d in read]
        # Rounding of float32 may turn what is equal to the sixth digit.
        assert [scores[i] for i in row] == pytest.approx([scores[i] for i in best(scores, 10)],
                                                         abs=1e-6)  # fmt: skip


@pytest.mark.parametrize("k", [10, 500])
def test_more_places_than_documents_are_all_of_them(k: int) -> None:
    queries, documents = vectors(3, 8), vectors(12, 9)
    forms: list[Stored] = [
        float_vectors(documents, torch.float16), int8_vectors(documents),
        binary_vectors(documents), binary_vectors(documents, rescored=40),
    ]  # fmt: skip
    for form in forms:
        assert form.batch(queries, k).shape == (3, min(k, 12))
        assert form.alone(queries[:1], k).tolist() == form.batch(queries, k)[:1].tolist()


@pytest.fixture(scope="module")
def curves() -> Curves:
    found = embedded(noise=1.5, queries=300, documents=600)
    ticks = count()
    clusters = [query.id for query in found.task.queries]
    return cost_curves(found, clusters, clock=lambda: float(next(ticks)))


def test_each_point_is_held_against_the_full_vectors(curves: Curves) -> None:
    names = [point.name for point in curves.precisions]
    assert names == ["float32", "float16", "int8", "binary, 40 rescored", "binary"]
    assert [point.dimension for point in curves.dimensions] == [44, 22]
    assert [p.bytes_per_vector for p in curves.precisions] == [176, 88, 44, 5.5, 5.5]
    assert [p.bytes_per_vector for p in curves.dimensions] == [176, 88]
    for point in (*curves.precisions, *curves.dimensions):
        change, now = point.measure.difference, point.measure.tuned
        assert change is not None
        assert now is not None
        assert change.mean == pytest.approx(now.mean - point.measure.base.mean)
        assert point.latency.median_seconds == point.latency.p95_seconds == 1  # one tick
    scores = {p.name: p.measure.tuned.mean for p in curves.precisions if p.measure.tuned}
    assert scores["float32"] == curves.dimensions[0].measure.base.mean > 0.5
    assert scores["binary"] < scores["binary, 40 rescored"] <= scores["float32"] + 0.01
    assert scores["int8"] == pytest.approx(scores["float32"], abs=0.01)


def test_it_is_said_what_can_be_saved(curves: Curves) -> None:
    precision, dimension = told_of_curves(curves)
    assert precision.startswith("By precision: int8 changes nDCG@10 by ")
    assert "over 300 queries (too few to be sure" in precision
    assert "44 bytes a vector instead of 176" in precision
    assert dimension == "Every lower dimension costs more than 0.01 of nDCG@10."


def test_the_picture_names_every_point(curves: Curves) -> None:
    picture = curves_picture(curves)
    assert picture is not None
    assert picture.startswith("<svg")
    for point in curves.precisions:
        assert point.name in picture
    assert curves_picture(None) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dimensions": [45]}, "evaluation.dimensions must be from 1 to 44, got 45"),
        ({"dimensions": [0]}, "evaluation.dimensions must be from 1 to 44, got 0"),
        ({"rescored": 9}, "evaluation.rescored must be 10 or more, got 9"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        cost_curves(embedded(), ["x"] * 60, **options)  # type: ignore[arg-type]


def test_cut_vectors_are_made_unit_again() -> None:
    found = embedded(noise=0.0)
    found.documents[:, 0] *= 3  # so that lengths of what is left differ
    whole = Embedded(found.task, unit(found.documents[:60]), unit(found.documents))
    cut = cost_curves(whole, [str(i) for i in range(60)], dimensions=[20, 1])
    short = cut.dimensions[1]
    assert (short.dimension, [p.dimension for p in cut.dimensions]) == (20, [44, 20, 1])
    assert short.measure.tuned is not None
    assert short.measure.tuned.mean == 1  # else a longer one would come before a query's own


class _Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that is made."""

    made = 0

    def __torch_dispatch__(  # type: ignore[no-untyped-def]
        self, func, types, args=(), kwargs=None
    ):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.made = max(self.made, found.nbytes)
        return found


def test_bits_are_made_in_less_memory_than_the_vectors_take() -> None:
    documents = vectors(90, 6)
    with _Largest() as largest:
        binary_vectors(documents)
    assert 0 < largest.made < documents.nbytes
