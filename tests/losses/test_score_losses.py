"""What each loss of a reranker's scores means, and sentence-transformers 6.2 on the same lists."""

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rankings import rows_of, scored
from rerank_twins import Row, all_orders, mean
from sentence_transformers.cross_encoder import losses as field
from slopes import same_slopes
from torch import Tensor

from nearfar.evaluation.metrics import per_query
from nearfar.losses.lists import places
from nearfar.losses.listwise import list_mle, listwise_softmax, p_list_mle
from nearfar.losses.pairwise_order import lambdarank, ranknet
from nearfar.losses.pointwise import binary_cross_entropy, graded_mse
from nearfar.losses.score_distillation import adr_mse, listwise_kl, margin_mse


class SaysScores(SimpleNamespace):
    """A cross-encoder of the field that has its scores already."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__(
            num_labels=1,
            device=torch.device("cpu"),
            preprocess=lambda pairs, **_: {},
            scores=scores,
        )

    def __call__(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": self.scores}


def of_the_field(loss: torch.nn.Module, widths: Sequence[int], labels: Tensor) -> Tensor:
    texts = [["d"] * width for width in widths]
    found: Tensor = loss([["q"] * len(widths), texts], list(labels.float().split(list(widths))))
    return found


def floats(rows: Sequence[Row]) -> tuple[Tensor, object, SaysScores]:
    scores, edges = scored(rows)
    single = scores.float().requires_grad_()
    return single, edges, SaysScores(single)


ONE = rows_of(([0, 3, 1, 2], [0.3, -0.2, 0.9, 0.1]))
TIED = rows_of(([0, 2, 1, 0, 1], [0.3, -0.2, 0.9, 0.1, 1.4]))
TWO = rows_of(([0, 3, 1, 2], [0.3, -0.2, 0.9, 0.1]), ([1, 0], [0.5, 0.7]))


@pytest.mark.parametrize("k", [None, 1, 2])
@pytest.mark.parametrize(
    ("weighting", "scheme"),
    [
        ("lambdarank", field.LambdaRankScheme()),
        ("ndcg_loss2", field.NDCGLoss2Scheme()),
        ("ndcg_loss2++", field.NDCGLoss2PPScheme(mu=3.0)),
        ("none", field.NoWeightingScheme()),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_lambdarank_is_that_of_the_field_but_summed_and_in_nats(
    weighting: str, scheme: torch.nn.Module, k: int | None
) -> None:
    scores, edges, model = floats(TIED)
    theirs = field.LambdaLoss(
        model, scheme, k=k, sigma=0.5, reduction_log="natural", mini_batch_size=-1
    )
    mean_of_pairs = of_the_field(theirs, [5], edges.grade)
    pairs = {None: 8, 1: 3, 2: 6}[k]
    ours = lambdarank(scores, edges, weighting=weighting, k=k, temperature=2.0, mu=3.0)
    same_slopes(ours, mean_of_pairs * (1 if weighting == "none" else pairs), [scores])


def test_ranknet_of_one_list_is_that_of_the_field() -> None:
    scores, edges, model = floats(TIED)
    theirs = field.RankNetLoss(model, reduction_log="natural", mini_batch_size=-1)
    same_slopes(ranknet(scores, edges), of_the_field(theirs, [5], edges.grade), [scores])


@pytest.mark.parametrize(
    ("ours", "theirs"), [(list_mle, field.ListMLELoss), (p_list_mle, field.PListMLELoss)]
)
def test_likelihoods_of_lists_without_ties_are_those_of_the_field(
    ours: object, theirs: type[torch.nn.Module]
) -> None:
    scores, edges, model = floats(TWO)
    loss = theirs(model, respect_input_order=False, mini_batch_size=-1)
    expected = of_the_field(loss, [4, 2], edges.grade)
    same_slopes(ours(scores, edges), expected, [scores])  # type: ignore[operator]


def test_adr_mse_of_one_list_is_that_of_the_field() -> None:
    scores, edges, model = floats(TIED)
    theirs = field.ADRMSELoss(model, alpha=2.0, mini_batch_size=-1)
    expected = of_the_field(theirs, [5], edges.score)
    same_slopes(adr_mse(scores, edges, temperature=0.5), expected, [scores])


@pytest.mark.parametrize("target", ["grade", "teacher"])
def test_listwise_kl_of_grades_is_listnet_less_a_constant(target: str) -> None:
    scores, edges, model = floats(TWO)
    given_ = edges.grade if target == "grade" else edges.score
    theirs = of_the_field(field.ListNetLoss(model, mini_batch_size=-1), [4, 2], given_)
    entropy = mean([torch.distributions.Categorical(logits=one).entropy().item()
                    for one in given_.split([4, 2])])  # fmt: skip
    same_slopes(listwise_kl(scores, edges, target=target), theirs - entropy, [scores])


grades = st.lists(st.integers(0, 2), min_size=2, max_size=5).filter(lambda some: len(set(some)) > 1)


@settings(max_examples=40, deadline=None)
@given(grade=grades, dice=st.integers(0, 999))
def test_list_mle_is_a_bound_on_the_likelihood_of_all_orders_that_fit(
    grade: list[int], dice: int
) -> None:
    some = torch.randn(len(grade), generator=torch.Generator().manual_seed(dice)) * 2
    rows = rows_of((grade, some.tolist()))
    ours = list_mle(*scored(rows)).item()
    exact = all_orders(rows)
    assert ours >= exact - 1e-9
    above_the_last = [one for one in grade if one > min(grade)]
    if len(set(above_the_last)) == len(above_the_last):
        assert ours == pytest.approx(exact)


def test_answers_of_one_grade_do_not_compete_with_each_other() -> None:
    rows = rows_of(([1, 1, 0], [2.0, -1.0, 0.5]))
    for loss in (listwise_softmax, ranknet, lambdarank, list_mle, p_list_mle):
        scores, edges = scored(rows)
        loss(scores.requires_grad_(), edges).backward()
        alone, left = scored([rows[0], rows[2]])
        loss(alone.requires_grad_(), left).backward()
        factor = scores.grad[0] / alone.grad[0]  # of its share of the mean alone
        assert 0 < factor <= 1
        raised, _ = scored([rows[0], rows[1]._replace(score=-1.001), rows[2]])
        loss(raised.requires_grad_(), edges).backward()
        torch.testing.assert_close(raised.grad[0], scores.grad[0], rtol=1e-12, atol=0)


def test_a_lambda_is_what_swapping_two_documents_does_to_ndcg() -> None:
    """By the measure that nearfar reports: its gain is linear and it is cut off nowhere here."""
    rows = rows_of(([0, 3, 1, 2, 0], [0.3, -0.2, 0.9, 0.1, 1.4]))
    by_score = sorted(range(5), key=lambda at: -rows[at].score)

    def ndcg(order: Sequence[int]) -> float:
        grades = {f"d{at}": row.grade for at, row in enumerate(rows) if row.grade}
        found = per_query({"q": [f"d{at}" for at in order]}, {"q": grades})
        return found["q"]["ndcg_at_10_score"]

    total = 0.0
    for i in range(5):
        for j in range(5):
            if rows[i].grade > rows[j].grade:
                swapped = [{i: j, j: i}.get(at, at) for at in by_score]
                gap = rows[i].score - rows[j].score
                total += abs(ndcg(swapped) - ndcg(by_score)) * math.log1p(math.exp(-gap))
    assert lambdarank(*scored(rows), gain="linear").item() == pytest.approx(total, rel=1e-5)


def test_a_tie_of_scores_is_no_success() -> None:
    """An answer that shares the first score stands below the others, and so has most to win."""
    rows = rows_of(([1, 0, 0], [0.0, 0.0, -5.0]))
    tied = lambdarank(*scored(rows)).item()
    behind = lambdarank(*scored([rows[0]._replace(score=-1e-9), *rows[1:]])).item()
    assert tied == pytest.approx(behind, rel=1e-6)
    ahead = lambdarank(*scored([rows[0]._replace(score=1e-9), *rows[1:]])).item()
    assert tied != pytest.approx(ahead, rel=1e-3)
    assert places(torch.zeros(3, dtype=torch.long), torch.zeros(3), torch.tensor([1.0, 0, 0])
                  ).tolist() == [3, 1, 2]  # fmt: skip


@pytest.mark.parametrize("gain", ["exponential", "linear"])
def test_grades_of_any_size_weigh_pairs_in_numbers(gain: str) -> None:
    for size in (1e-6, 1.0, 300.0, 1e6):
        scores, edges = scored([r._replace(grade=r.grade * size) for r in ONE])
        found = lambdarank(scores.float(), edges, gain=gain)
        assert torch.isfinite(found)
        assert found > 0


def test_the_first_places_of_a_long_list_keep_their_weights() -> None:
    scores, edges = scored(rows_of((range(300), [0.0] * 300)))
    scores = scores.float().requires_grad_()
    p_list_mle(scores, edges).backward()
    assert scores.grad[299].item() == pytest.approx(-0.5, abs=0.01)
    assert scores.grad[298].item() == pytest.approx(-0.25, abs=0.01)


def test_each_list_counts_alike_for_ranknet_however_long() -> None:
    short, long = rows_of(([1, 0], [0, 2])), rows_of(([1, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]))
    both = [*short, *(row._replace(query=1) for row in long)]
    expected = (ranknet(*scored(short)) + ranknet(*scored(long))) / 2
    assert ranknet(*scored(both)).item() == pytest.approx(expected.item())


def test_the_scale_of_grades_does_not_matter_to_the_gaps_of_ranknet() -> None:
    scores, edges = scored(ONE)
    _, tripled = scored([row._replace(grade=3 * row.grade) for row in ONE])
    one, other = (ranknet(scores, graph, weighting="gap") for graph in (edges, tripled))
    assert one.item() == pytest.approx(other.item())
    assert one.item() != pytest.approx(ranknet(scores, edges).item(), rel=1e-2)


def test_a_perfect_student_of_a_teacher_has_nothing_to_learn() -> None:
    scores, edges = scored(TWO)
    assert edges.score is not None
    same = edges.score + 7.0  # the zero of a scale says nothing
    for loss in (margin_mse, listwise_kl):
        assert loss(same, edges).item() == pytest.approx(0, abs=1e-12)
        assert loss(scores, edges).item() > 0.1
    assert adr_mse(100 * same, edges).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", [listwise_softmax, ranknet, lambdarank, list_mle, p_list_mle])
@pytest.mark.parametrize(
    "lists",
    [[([1], [0.3])], [([1], [0.3]), ([0], [0.1])], [([0, 0], [0.3, 0.1])], [([2, 2], [0.3, 0.1])]],
    ids=["one", "two of one", "no answer", "all alike"],
)
def test_lists_that_say_nothing_are_refused_alone_and_left_out_beside_others(
    loss: object, lists: list[tuple[list[float], list[float]]]
) -> None:
    with pytest.raises(ValueError, match="no query of the batch has"):
        loss(*scored(rows_of(*lists)))  # type: ignore[operator]
    telling = rows_of(([1, 0], [0.4, 0.6]))
    mute = [row._replace(query=row.query + 1) for row in rows_of(*lists)]
    alone, beside = (loss(*scored(rows)) for rows in (telling, [*telling, *mute]))  # type: ignore[operator]
    assert alone.item() == beside.item()


@pytest.mark.parametrize("loss", [margin_mse, listwise_kl, adr_mse])
def test_without_a_teachers_score_there_is_nothing_to_distil(loss: object) -> None:
    mute = [row._replace(teacher=math.nan) for row in ONE]
    with pytest.raises(ValueError, match=r"no edge with a teacher's score\."):
        loss(*scored(mute))  # type: ignore[operator]
    scores, edges = scored(ONE)
    edges = type(edges)(edges.query, edges.document, edges.grade)
    with pytest.raises(ValueError, match=r"no edge with a teacher's score\."):
        loss(scores, edges)  # type: ignore[operator]
    assert loss(scores, edges, target="grade") > 0  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"no query of the batch has"):
        loss(*scored([ONE[1], *mute[2:]]))  # type: ignore[operator]


def test_a_grade_above_the_highest_is_refused_where_it_cannot_be_reached() -> None:
    scores, edges = scored(ONE)
    expected = r"a pair has grade 3, above loss\.highest_grade 2"
    for loss in (binary_cross_entropy, graded_mse):
        with pytest.raises(ValueError, match=expected):
            loss(scores, edges, highest_grade=2.0)
    assert graded_mse(scores, edges, highest_grade=2.0, activation="none") > 0


def test_the_weight_of_positives_makes_one_answer_count_like_its_negatives() -> None:
    scores, edges = scored(rows_of(([1, 0, 0, 0], [0, 0, 0, 0])))
    binary_cross_entropy(scores.requires_grad_(), edges, positive_weight=3.0).backward()
    assert scores.grad.sum().item() == pytest.approx(0, abs=1e-12)
