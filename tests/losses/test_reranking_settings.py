"""Which loss a reranker learns by is checked as it is chosen."""

import pytest
from rankings import CASES, NAMES, loss, rows_of, scored

from nearfar.errors import BadSetting
from nearfar.losses.reranking import (
    RERANKING_LOSSES,
    RerankingLossSettings,
    build_reranking_loss,
)

ROWS = rows_of(([1, 0, 2], [0.3, 0.1, -0.5]))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_is_chosen_is_the_loss_with_its_options(case: tuple[str, dict[str, object]]) -> None:
    name, options = case
    if "highest_grade" not in options and name == "graded_mse":
        options = {**options, "highest_grade": 2.0}
    chosen = build_reranking_loss(RerankingLossSettings(name=name, options=options))
    assert chosen(*scored(ROWS)).item() == loss((name, options), *scored(ROWS)).item()


@pytest.mark.parametrize("name", RERANKING_LOSSES)
def test_every_loss_can_be_chosen_without_options(name: str) -> None:
    RerankingLossSettings(name=name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("infonce", {}, "reranking_loss.name must be one of binary_cross_entropy, "),
        ("lambdarank", {"wieghting": "none"}, r"wieghting is not .* Did you mean 'weighting'\?"),
        ("list_mle", {"margin": 1}, r"reranking_loss.options.margin is not .* It has: target\."),
        (
            "lambdarank",
            {"weighting": "ndcg"},
            "one of lambdarank, ndcg_loss2, ndcg_loss2[+]+, none",
        ),
        ("lambdarank", {"gain": "power"}, "loss.gain must be one of exponential, linear"),
        ("lambdarank", {"k": 0}, "loss.k must be a whole number of 1 or more, or left out, got 0"),
        ("lambdarank", {"k": 2.5}, "loss.k must be a whole number"),
        ("lambdarank", {"mu": -1.0}, "loss.mu must be 0 or more"),
        ("lambdarank", {"temperature": "hot"}, "options of lambdarank: .* do not fit"),
        ("ranknet", {"temperature": 0.0}, "loss.temperature must be above 0"),
        ("ranknet", {"weighting": "grade"}, "loss.weighting must be one of none, gap"),
        ("ranknet", {"target": "human"}, "loss.target must be one of grade, teacher"),
        ("binary_cross_entropy", {"positive_weight": float("nan")}, "loss.positive_weight must be"),
        ("binary_cross_entropy", {"highest_grade": 0}, "loss.highest_grade must be above 0"),
        ("graded_mse", {"activation": "tanh"}, "loss.activation must be one of sigmoid, none"),
        ("graded_mse", {"activation": "none", "highest_grade": -1}, "loss.highest_grade must be"),
        ("margin_mse", {"pairs": "some"}, "loss.pairs must be one of answers, all"),
        ("listwise_kl", {"teacher_temperature": 0.0}, "loss.teacher_temperature must be above 0"),
        ("listwise_kl", {"temperature": -1.0}, "loss.temperature must be above 0"),
        ("adr_mse", {"temperature": float("nan")}, "loss.temperature must be above 0"),
        ("listwise_softmax", {"temperature": 0.0}, "loss.temperature must be above 0"),
    ],
)
def test_what_does_not_fit_is_refused_as_it_is_chosen(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        RerankingLossSettings(name=name, options=options)


def test_a_highest_grade_below_1_is_a_setting_like_any_other() -> None:
    RerankingLossSettings(name="graded_mse", options={"highest_grade": 0.5})


def test_it_is_known_beforehand_whether_a_teacher_is_needed() -> None:
    needing = {name for name in RERANKING_LOSSES if RerankingLossSettings(name=name).needs_teacher}
    assert needing == {"margin_mse", "listwise_kl", "adr_mse"}
    assert not RerankingLossSettings(name="adr_mse", options={"target": "grade"}).needs_teacher
    assert RerankingLossSettings(name="list_mle", options={"target": "teacher"}).needs_teacher
