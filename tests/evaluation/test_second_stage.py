"""Who reads what the last model finds, and how much words say in it."""

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from asked import asked
from letter_reranker import LetterReranker
from test_reranked_evaluation import SETTINGS, Placed

from nearfar.errors import BadSetting
from nearfar.evaluation.report import read_report
from nearfar.evaluation.stages import told_of_stages
from nearfar.pipeline.evaluating import SecondStage, evaluate_into


def test_words_bring_what_meaning_cannot(tmp_path: Path) -> None:
    texts = {f"d{i}": f"{'ab' * (i % 20 + 1)} x" for i in range(200)}
    texts["lost"] = "zzzzzz zebra"
    queries: dict[str, str] = {"q": "baab zebra"}
    dataset = asked(tmp_path / "d", texts, queries, [("q", "lost", 1.0, "test")])
    recalls = []
    for lexical in (False, True):
        second = SecondStage(reranker=LetterReranker(), candidates=(10,), lexical=lexical)
        report = evaluate_into(
            tmp_path / f"r{lexical}", dataset, (Placed(), None), SETTINGS, second=second
        )
        assert report.reranking is not None
        recalls.append(report.reranking.at(10).recall.mean)
    assert recalls == [0, 1]


def test_words_count_as_much_as_they_are_told_to(tmp_path: Path) -> None:
    texts = {f"d{i}": f"{'ab' * (i % 20 + 1)} x" for i in range(40)} | {"lost": "zzzzzz zebra"}
    dataset = asked(tmp_path / "d", texts, {"q": "baab zebra"}, [("q", "lost", 1.0, "test")])
    first = []
    for weight in (0.0, 1.0):
        second = SecondStage(
            reranker=LetterReranker(), candidates=(10,), lexical=True, lexical_weight=weight
        )
        folder = tmp_path / f"r{weight}"
        report = evaluate_into(folder, dataset, (Placed(), None), SETTINGS, second=second)
        assert report.reranking is not None
        assert report.reranking.lexical_weight == weight
        assert read_report(folder).reranking == report.reranking
        assert f"with words (weight {weight:g})" in told_of_stages(report.reranking)[0]
        hits = pq.read_table(folder / "per_query.parquet")["retrieved_hits"].to_pylist()
        first.append(hits[0][0] == "lost")
    assert first == [False, True]


@pytest.mark.parametrize(("lexical", "weight"), [(False, 0.5), (True, -0.1), (True, math.nan)])
def test_a_weight_that_makes_no_sense_is_refused(lexical: bool, weight: float) -> None:
    with pytest.raises(BadSetting, match="lexical_weight must be between 0 and 1, with lexical"):
        SecondStage(reranker=LetterReranker(), lexical=lexical, lexical_weight=weight)


@pytest.mark.parametrize("candidates", [(), (9,), (50, 0)])
def test_too_few_candidates_are_refused(candidates: tuple[int, ...]) -> None:
    with pytest.raises(BadSetting, match="candidates must be"):
        SecondStage(reranker=LetterReranker(), candidates=candidates)
