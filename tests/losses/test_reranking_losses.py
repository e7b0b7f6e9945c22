"""Promises that every loss of a reranker's scores keeps, and their slow twins."""

import inspect
import math
from dataclasses import replace

import pytest
import rerank_twins
import torch
from hypothesis import given, settings
from rankings import CASES, NAMES, loss, rankings, rows_of, scored, teachable
from rerank_twins import Row

from nearfar.losses import Edges
from nearfar.losses.reranking import RERANKING_LOSSES, RerankingLossSettings

Case = tuple[str, dict[str, object]]
Ranking = tuple[list[Row], list[tuple[int, int]]]

every_case = pytest.mark.parametrize("case", CASES, ids=NAMES)
every_loss = pytest.mark.parametrize("name", RERANKING_LOSSES)

# Two lists in wrong order, of different lengths, no two scores alike.
WRONG = rows_of(([1, 0, 0, 2], [-0.6, 0.4, 1.1, 0.2]), ([0, 3, 0], [0.7, -0.3, 0.1]))


def slow(case: Case, ranking: Ranking) -> float:
    name, options = case
    # What is excluded from being pulled or pushed has a place in a teacher's order.
    excluded = [] if asks_teacher(case) else ranking[1]
    found: float = getattr(rerank_twins, name)(ranking[0], excluded=excluded, **options)
    return found


def asks_teacher(case: Case) -> bool:
    return RerankingLossSettings(name=case[0], options=case[1]).needs_teacher


def unscored(case: Case, ranking: Ranking) -> list[Row]:
    """The rows, where excluded ones have no teacher's score either if the loss asks for it."""
    rows, excluded = ranking
    if not asks_teacher(case):
        return rows
    return [row._replace(teacher=math.nan) if (row.query, row.document) in excluded else row
            for row in rows]  # fmt: skip


def test_the_cases_try_every_option_of_every_loss() -> None:
    for name, one in RERANKING_LOSSES.items():
        parameters = inspect.signature(one).parameters.values()
        known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        tried = {option for case, options in CASES if case == name for option in options}
        assert known == tried
        assert (name, {}) in CASES or name == "graded_mse"


@every_case
@settings(max_examples=25, deadline=None)
@given(ranking=rankings())
def test_equals_its_twin_and_learns_from_nothing_where_its_twin_does(
    case: Case, ranking: Ranking
) -> None:
    scores, edges = scored(*ranking)
    try:
        expected = slow(case, ranking)
    except ValueError:
        with pytest.raises(ValueError, match=r"\.$"):
            loss(case, scores, edges)
        return
    assert loss(case, scores, edges).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@every_case
def test_its_gradient_is_the_slope_of_its_twin(case: Case) -> None:
    rows = [*WRONG, Row(1, 7, 1.0, math.nan, 0.9), Row(1, 8, 1.0, 2.0, -2.0)]
    excluded = [(0, 1)]
    scores, edges = scored(rows, excluded)
    scores.requires_grad_()
    loss(case, scores, edges).backward()
    for at, row in enumerate(rows):
        moved = [
            slow(case, ([*rows[:at], row._replace(score=row.score + step), *rows[at + 1 :]],
                        excluded))
            for step in (1e-5, -1e-5)
        ]  # fmt: skip
        slope = (moved[0] - moved[1]) / 2e-5
        assert scores.grad[at].item() == pytest.approx(slope, rel=1e-6, abs=1e-8)


@every_case
def test_gradcheck(case: Case) -> None:
    scores, edges = scored(WRONG)
    assert torch.autograd.gradcheck(lambda s: loss(case, s, edges), scores.requires_grad_())


@every_case
@settings(max_examples=8, deadline=None)
@given(ranking=teachable())
def test_the_order_of_edges_does_not_matter(case: Case, ranking: Ranking) -> None:
    scores, edges = scored(*ranking)
    scores.requires_grad_()
    one = loss(case, scores, edges)
    order = torch.randperm(len(scores))
    moved = Edges(
        edges.query[order], edges.document[order], edges.grade[order], edges.excluded,
        edges.score[order],
    )  # fmt: skip
    other = loss(case, scores[order], moved)
    assert one.item() == other.item()
    assert torch.equal(*(torch.autograd.grad(found, scores)[0] for found in (one, other)))


@every_case
@settings(max_examples=8, deadline=None)
@given(ranking=teachable())
def test_queries_and_documents_may_have_other_rows(case: Case, ranking: Ranking) -> None:
    scores, edges = scored(*ranking)
    assert edges.excluded is not None
    one = loss(case, scores, edges)
    queries, documents = torch.randperm(9), torch.randperm(9)
    moved = replace(
        edges, query=queries[edges.query], document=documents[edges.document],
        excluded=torch.stack([queries[edges.excluded[:, 0]], documents[edges.excluded[:, 1]]], 1),
    )  # fmt: skip
    assert loss(case, scores, moved).item() == pytest.approx(one.item(), rel=1e-12, abs=1e-15)


@every_case
@settings(max_examples=8, deadline=None)
@given(ranking=teachable())
def test_an_excluded_edge_counts_for_nothing(case: Case, ranking: Ranking) -> None:
    excluded = ranking[1]
    rows = unscored(case, ranking)
    scores, edges = scored(rows, excluded)
    one = loss(case, scores.requires_grad_(), edges)
    (slope,) = torch.autograd.grad(one, scores)
    left = [row for row in rows if (row.query, row.document) not in excluded]
    assert one.item() == loss(case, *scored(left)).item()
    absurd = [
        row._replace(score=math.nan, grade=3.0, teacher=math.nan if asks_teacher(case) else 1e9)
        if (row.query, row.document) in excluded
        else row
        for row in rows
    ]
    wild, edges = scored(absurd, excluded)
    found = loss(case, wild.requires_grad_(), edges)
    assert found.item() == one.item()
    assert torch.equal(torch.autograd.grad(found, wild)[0], slope)
    assert slope[~edges.allowed].abs().sum() == 0


@every_case
def test_a_longer_list_beside_it_does_not_change_what_a_list_feels(case: Case) -> None:
    short = rows_of(([1, 0], [0.1, 0.4]))
    long = [row._replace(query=1) for row in rows_of(([1, 2, 0, 0, 0, 3], [0, 1, 2, -1, 0.5, -2]))]
    both = [short, long, [*short, *long]]
    slopes = []
    for rows in both:
        scores, edges = scored(rows)
        loss(case, scores.requires_grad_(), edges).backward()
        slopes.append(scores.grad)
    felt = slopes[2][:2]  # the same up to what share of the mean a list is
    factor = slopes[0][0] / felt[0]
    assert factor >= 1
    torch.testing.assert_close(felt * factor, slopes[0])


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_scores_of_any_size_give_numbers(case: Case, dtype: torch.dtype, size: float) -> None:
    scores, edges = scored(WRONG)
    wild = (scores.sign() * size).to(dtype).requires_grad_()
    found = loss(case, wild, edges)
    found.backward()
    assert found.dtype == torch.float32
    assert torch.isfinite(found)
    assert torch.isfinite(wild.grad).all()


@every_case
def test_it_falls_as_the_score_of_an_answer_rises(case: Case) -> None:
    scores, edges = scored(
        rows_of(([0, 3, 0, 0, 3], [0.02, 0.01, 0.03, 0.04, 0]), ([3, 0], [0, 0.1]), ([3], [0]))
    )
    before = loss(case, scores.requires_grad_(), edges)
    (slope,) = torch.autograd.grad(before, scores)
    for at in (1, 4, 5):
        assert slope[at] < 0
        raised = scores.detach().clone()
        raised[at] += 1e-3
        assert loss(case, raised, edges) < before
    assert (slope[edges.grade == 0] >= 0).all()


@every_case
def test_descent_puts_documents_into_the_order_of_their_grades(case: Case) -> None:
    scores, edges = scored(WRONG)
    scores.requires_grad_()
    optimiser = torch.optim.Adam([scores], lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        loss(case, scores, edges).backward()
        optimiser.step()
    lowest = torch.min if case[1].get("k") != 1 else torch.max  # only the first place was at stake
    negatives = edges.grade == 0
    for query in (0, 1):
        own = edges.query == query
        assert lowest(scores[own & ~negatives]) > scores[own & negatives].max()


@every_case
def test_a_teacher_is_not_taught(case: Case) -> None:
    scores, edges = scored(WRONG)
    assert edges.score is not None
    edges.score.requires_grad_()
    loss(case, scores.requires_grad_(), edges).backward()
    assert edges.score.grad is None
    assert scores.grad.abs().max() > 0


@every_case
@pytest.mark.parametrize("shape", [(7, 1), (6,)])
def test_another_number_of_scores_is_refused(case: Case, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected one score per edge"):
        loss(case, torch.zeros(shape), scored(WRONG)[1])


@every_loss
def test_a_batch_of_excluded_pairs_alone_is_refused(name: str) -> None:
    excluded = [(0, 0), (0, 1)]
    rows = unscored((name, {}), (rows_of(([1, 0], [0, 0])), excluded))
    with pytest.raises(ValueError, match=r"no judged pair|no edge with a teacher's score"):
        RERANKING_LOSSES[name](*scored(rows, excluded))
