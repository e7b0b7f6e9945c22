"""Index, search and evaluate with a second stage, as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import WORDS, tiny_bert, tiny_dataset
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner, Result

from nearfar.cli import app
from nearfar.errors import BadFile, BadSetting, NearfarError
from nearfar.evaluation.report import read_report
from nearfar.evaluation.scores import read_scores
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.release.two_stages import stages_of
from nearfar.search import reranked
from nearfar.search.candidates import Fusion
from nearfar.search.reranked import retrieve_then_rerank


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, a model, a reranker, and an index with words and one without."""
    folder = tmp_path_factory.mktemp("reranked")
    tiny_dataset(folder / "data")
    base = tiny_bert(folder / "bert")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = AutoConfig.from_pretrained(base, num_labels=1)
        model = AutoModelForSequenceClassification.from_config(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)  # so that scores differ
    model.save_pretrained(folder / "cross")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "cross")
    done = nearfar("index", folder / "data", folder / "both", "--model", base, "--lexical")
    assert "and their words" in done.output
    done = nearfar("index", folder / "data", folder / "plain", "--model", base)
    assert "words" not in done.output
    return folder


def nearfar(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def asked(home: Path, *more: object, index: str = "both") -> Result:
    question = f"{WORDS[8]} {WORDS[3]}"
    return nearfar("search", question, "--index", home / index, "--model", home / "bert", *more)


def rows(done: Result) -> list[dict[str, object]]:
    assert done.exception is None, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_words_and_a_reranker_say_why_a_document_is_there(home: Path) -> None:
    done = asked(home, "--lexical", "--rerank", home / "cross", "--candidates", 20, "-k", 4)
    assert done.exit_code == 0, done.output
    assert done.output.count("rerank ") == 4
    assert "meaning #" in done.output
    assert "words #" in done.output
    assert "20 of 20 candidates reranked; query encoded in" in done.output


def test_lines_hold_the_logits_of_the_reranker(home: Path) -> None:
    ask = ("--rerank", home / "cross", "--candidates", 20, "--json")
    done = asked(home, *ask)
    found = rows(done)
    texts = [str(row["content"]) for row in found]
    logits = CrossEncoder.load(home / "cross").score(f"{WORDS[8]} {WORDS[3]}", texts)
    assert [row["rerank_score"] for row in found] == pytest.approx(logits.tolist(), abs=1e-4)
    assert logits.tolist() == sorted(logits.tolist(), reverse=True)
    assert [row["rank"] for row in found] == [1, 2, 3, 4, 5]
    assert "candidates reranked" in done.stderr
    assert rows(asked(home, *ask)) == found  # the same each time


def test_words_alone_bring_what_shares_them(home: Path) -> None:
    found = rows(asked(home, "--lexical", "--json", "-k", 48))
    assert {row["rerank_score"] for row in found} == {None}
    shared = [row for row in found if row["word_rank"] is not None]
    best = min(shared, key=lambda row: int(str(row["word_rank"])))
    assert {WORDS[8], WORDS[3]} & set(str(best["content"]).split())
    done = asked(home, "--lexical")
    assert "48 candidates; query encoded in" in done.output


def test_models_and_words_are_woken_by_another_question(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Fusion]] = []

    def watched(*parts: Any, **more: Any) -> Any:
        calls.append((parts[3], more["fusion"]))
        return retrieve_then_rerank(*parts, **more)

    monkeypatch.setattr(reranked, "retrieve_then_rerank", watched)
    rows(asked(home, "--lexical", "--rerank", home / "cross", "--json"))
    (first, woken), (second, used) = calls
    assert first != second == f"{WORDS[8]} {WORDS[3]}"
    assert woken is used
    assert used.lexical.scores(first).max() > 0  # or the words would sleep on


@pytest.mark.parametrize("budget", [1e-6, 1e9])
def test_each_line_says_how_many_were_read_and_what_stopped_it(home: Path, budget: float) -> None:
    for row in rows(asked(home, "--rerank", home / "cross", "--json", "--budget-ms", budget)):
        assert row["candidates"] == 48
        assert row["reranked"] == (48 if budget > 1 else 0)
        assert row["stopped_by_budget"] == (budget < 1)


def test_words_weigh_as_much_as_they_are_told_to(home: Path) -> None:
    alone = rows(asked(home, "--json", "-k", 48))
    for weight in (0.0, 1.0):
        found = rows(asked(home, "--lexical", "--lexical-weight", weight, "--json", "-k", 48))
        scores = [row["bm25"] if weight else row["cosine"] for row in found]
        assert scores == sorted(scores, key=lambda one: -float(str(one)))
        assert ([row["id"] for row in found] == [row["id"] for row in alone]) == (weight == 0)


def test_a_budget_that_is_gone_leaves_the_order_of_retrieval(home: Path) -> None:
    ask = ("--rerank", home / "cross", "--json")
    done = asked(home, *ask, "--budget-ms", 1e-6)
    assert [row["retrieval_rank"] for row in rows(done)] == [1, 2, 3, 4, 5]
    assert "0 of 48 candidates reranked, stopped by the budget" in done.stderr
    assert "48 of 48 candidates reranked;" in asked(home, *ask, "--budget-ms", 1e9).stderr


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--candidates", 5), BadSetting, "are for a reranker"),
        (("--budget-ms", 5), BadSetting, "are for a reranker"),
        (("--rerank", "cross", "--budget-ms", 0), BadSetting, "--budget-ms must be above 0"),
        (("--rerank", "cross", "--candidates", 2), BadSetting, "candidates must be k"),
        (("--lexical-weight", 0.5), BadSetting, "Add --lexical"),
        (("--lexical", "--lexical-weight", 1.5), BadSetting, "must be between 0 and 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    words: tuple[object, ...], error: type[NearfarError], message: str, home: Path
) -> None:
    chosen = [home / "cross" if word == "cross" else word for word in words]
    done = asked(home, *chosen)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert done.stdout == ""


def test_an_index_without_words_says_how_to_get_them(home: Path) -> None:
    done = asked(home, "--lexical", index="plain")
    assert isinstance(done.exception, BadFile)
    assert "Build the index again with `nearfar index --lexical`" in str(done.exception)
    assert asked(home, index="plain").exit_code == 0


def test_both_stages_are_measured_and_told(home: Path, tmp_path: Path) -> None:
    done = nearfar(
        "evaluate", home / "data", tmp_path / "r", "--model", home / "bert", "--lexical",
        "--rerank", home / "cross", "--candidates", 10, "--candidates", 40,
        "--budget-ms", 1e9, "--budget-ms", 1e-6,
        "--set", "evaluation.map_points=5", "--set", "evaluation.split=train",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Retrieval with words leaves" in done.output
    lines = [line.split() for line in done.output.splitlines() if line.strip()]
    start = next(place for place, line in enumerate(lines) if line[0] == "read")
    rows = [line for line in lines[start + 1 :][:8] if line[0] in ("0", "10", "40")]
    assert [line[0] for line in rows] == ["0", "10", "40"]
    assert [place for place, cell in enumerate(rows[0]) if cell == "\u2013"] == [1, 2, 4, 5]
    below = " ".join(lines[lines.index(rows[2]) + 1])
    assert below.count("[") == 5  # recall, ceiling, nDCG, difference and time have theirs
    assert "…" not in done.output  # nothing is cut in a window of 80 columns
    found = read_report(tmp_path / "r").reranking
    assert found is not None
    assert found.asked == (10, 40)
    assert found.words_too
    assert found.reranker == CrossEncoder.load(home / "cross").fingerprint
    assert found.pairs_per_second > 0
    both, alone = (read_scores(tmp_path / "r" / name) for name in ("reranked-scores", "scores"))
    stages = stages_of(both.space, where="the scores")
    assert stages is not None
    assert (stages.reranker, stages.candidates, stages.words_too) == (found.reranker, 40, True)
    assert stages.encoder.to_json() == alone.space
    values, measured = both.values["ndcg_at_10_score"], found.at(40).measure("ndcg_at_10_score")
    assert measured.tuned is not None
    assert values.mean() == pytest.approx(measured.tuned.mean)
    start = next(place for place, line in enumerate(lines) if line[0] == "within")
    assert lines[start + 1][:4] == ["1e-06", "0.0", "0.0", "0.0"]
    assert [line[:4] for line in lines[start:] if line[0] == "1e+09"] == [["1e+09"] + ["40.0"] * 3]
    assert [budget.seconds for budget in found.budgets] == pytest.approx([1e-9, 1e6])
    assert [budget.read.mean for budget in found.budgets] == [0, 40]
    assert "Retrieve, then rerank" in (tmp_path / "r" / "report.html").read_text()


def test_scores_of_a_reranker_go_where_the_next_report_has_none(home: Path, tmp_path: Path) -> None:
    ask = ("evaluate", home / "data", tmp_path / "r", "--model", home / "bert", "--set",
           "evaluation.map_points=5")  # fmt: skip
    for more, there in ((("--rerank", home / "cross", "--candidates", 10), True), ((), False)):
        done = nearfar(*ask, *more)
        assert done.exit_code == 0, done.output
        assert (tmp_path / "r" / "reranked-scores").exists() == there


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lexical",), "are for a reranker"),
        (("--candidates", 50), "are for a reranker"),
        (("--budget-ms", 50), "are for a reranker"),
        (("--rerank", "cross", "--budget-ms", 0), "--budget-ms must be above 0"),
        (("--rerank", "cross", "--budget-ms", "inf"), "--budget-ms must be above 0"),
        (("--rerank", "cross", "--candidates", 9), "candidates must be 10 or more"),
        (("--rerank", "cross", "--lexical-weight", 0.5), "Add --lexical"),
        (("--rerank", "cross", "--lexical", "--lexical-weight", -1), "must be between 0 and 1"),
    ],
)
def test_a_measurement_that_makes_no_sense_leaves_nothing(
    words: tuple[object, ...], message: str, home: Path, tmp_path: Path
) -> None:
    chosen = [home / "cross" if word == "cross" else word for word in words]
    done = nearfar("evaluate", home / "data", tmp_path / "r", "--model", home / "bert", *chosen)
    assert isinstance(done.exception, BadSetting)
    assert message in str(done.exception)
    assert not (tmp_path / "r").exists()
