"""The relevance of what was retrieved: a judge's mean, its spread, and judges that misbehave."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from letter_reranker import LetterReranker

from nearfar.errors import BadModel, BadSetting
from nearfar.evaluation.relevance import context_relevance, reranker_judge
from nearfar.model.calibration import calibrate


def lengths(query: str, documents: Sequence[str], repeat: int) -> list[float]:
    return [len(document) / 10 for document in documents]


def test_it_is_the_mean_over_each_list_and_nothing_found_counts_0() -> None:
    found = context_relevance(
        lengths, ["q", "r", "s"], [["ab", "abcd"], [], ["a"]], ["1", "2", "3"]
    )
    assert found.per_query.tolist() == pytest.approx([0.3, 0, 0.1])
    assert found.mean.mean == pytest.approx(0.4 / 3)
    assert found.empty == 1
    assert found.spread is None


def test_the_spread_is_that_of_a_judge_with_dice() -> None:
    dice = np.random.default_rng(0)
    calls = []

    def judge(query: str, documents: Sequence[str], repeat: int) -> list[float]:
        calls.append((query, repeat))
        return (0.5 + dice.normal(0, 0.1, len(documents))).tolist()

    some = [["a", "b", "c", "d"]] * 60
    found = context_relevance(judge, [f"q{i}" for i in range(60)], some,
                              [str(i) for i in range(60)], repeats=5)  # fmt: skip
    assert len(set(calls)) == 300
    assert found.spread == pytest.approx(0.1 / 2, rel=0.15)  # of the mean of four
    assert found.mean.low is not None
    assert found.mean.low < 0.5 < found.mean.high  # type: ignore[operator]
    lists = [["ab"], ["abcdef"]]  # that queries differ is no spread of the judge
    steady = context_relevance(lengths, ["q", "r"], lists, ["1", "2"], repeats=3)
    assert steady.spread == pytest.approx(0)


def test_a_reranker_judges_by_its_calibrated_probability() -> None:
    reranker = LetterReranker()
    logits, truth = torch.tensor([-2.0, 0, 1, 3, 1, 4]), torch.tensor([0, 0, 1, 1, 0, 1])
    fitted = calibrate(logits, truth, reranker=reranker.fingerprint)
    documents = ["abc", "xyz"]
    found = context_relevance(reranker_judge(reranker, fitted), ["abc"], [documents], ["1"])
    expected = fitted.probability(reranker.score("abc", documents)).mean()
    assert found.per_query[0] == pytest.approx(float(expected))
    with pytest.raises(BadModel, match="found that of another"):
        reranker_judge(reranker, calibrate(logits, truth, reranker="another"))


def test_what_the_judge_passes_over_is_in_no_mean_and_counted() -> None:
    nan = float("nan")
    said = {("q", 0): [0.2, nan], ("q", 1): [0.4, 0.6], ("r", 0): [nan, nan], ("r", 1): [1, 1],
            ("s", 0): [1, 1], ("s", 1): [0, 1]}  # fmt: skip
    found = context_relevance(
        lambda query, _, repeat: said[query, repeat], ["q", "r", "s"], [["a", "b"]] * 3,
        ["1", "2", "3"], repeats=2,
    )  # fmt: skip
    assert found.per_query.tolist() == pytest.approx([0.35, nan, 0.75], nan_ok=True)
    assert found.judged.tolist() == [True, False, True]
    assert found.mean.mean == pytest.approx(0.55)
    assert found.mean.n == 2
    assert found.unsaid == 3
    deviations = np.std([0.2, 0.5], ddof=1), np.std([1, 0.5], ddof=1)
    assert found.spread == pytest.approx(np.sqrt(np.mean(np.square(deviations))))
    with pytest.raises(BadModel, match="found none for any of 2 questions"):
        context_relevance(lambda *_: [nan, nan], ["q"], [["a", "b"]], ["1"])


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("inf")])
def test_what_is_no_relevance_is_refused(wrong: float) -> None:
    with pytest.raises(BadModel, match=f"from 0 to 1, found {wrong:g} for the query 'q'"):
        context_relevance(lambda *_: [0.2, wrong], ["q"], [["a", "b"]], ["1"])
    with pytest.raises(ValueError, match="of 2 documents"):
        context_relevance(lambda *_: [0.2], ["q"], [["a", "b"]], ["1"])
    with pytest.raises(BadSetting, match="repeats must be 1 or more"):
        context_relevance(lengths, ["q"], [["a"]], ["1"], repeats=0)
    with pytest.raises(ValueError, match="as many contexts"):
        context_relevance(lengths, ["q"], [], ["1"])
