"""`nearfar evaluate --task relevance`, as a person types it: a reranker judges, or an LLM."""

import json
from pathlib import Path

import pytest
from llm_server import JudgeServer, served
from tiny import tiny_bert, tiny_cross, tiny_dataset
from typer.testing import CliRunner, Result

from nearfar.cli import app
from nearfar.errors import BadSetting
from nearfar.evaluation.scores import read_scores

PRICES = ("--input-price", 1_000, "--output-price", 5_000)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        monkeypatch.delenv(f"{name}_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relevance")
    tiny_dataset(folder / "data")
    tiny_bert(folder / "bert")
    tiny_cross(folder)
    return folder


def evaluate(home: Path, folder: Path, *words: object) -> Result:
    said = ["evaluate", home / "data", folder, "--model", home / "bert", *words]
    return CliRunner().invoke(app, [str(word) for word in said])


def grade(query: str, document: str) -> int:
    return 3 * (query.split()[0] == document.split()[0])


def test_a_reranker_without_a_calibration_is_calibrated_on_dev(home: Path, tmp_path: Path) -> None:
    done = evaluate(home, tmp_path / "r", "--task", "relevance", "--reranker", home / "cross",
                    "--depth", 4, "--set", "evaluation.split=train")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "calibration fitted on dev, depth 4, repeats 1" in done.stdout
    found = read_scores(tmp_path / "r/tasks/base/relevance")
    assert list(found.values) == ["context_relevance_score"]
    assert ((found.values["context_relevance_score"] > 0)
            & (found.values["context_relevance_score"] < 1)).all()  # fmt: skip
    assert {len(hits) for hits in found.hits} == {4}


def test_a_language_model_is_asked_anew_in_each_repeat_and_paid_once(
    home: Path, tmp_path: Path
) -> None:
    server = JudgeServer(grade=grade, trouble=lambda number, _: "" if number else "refuse")
    with served(server):
        ask = ("--task", "relevance", "--llm", "m", "--base-url", f"{server.address}/v1", *PRICES,
               "--depth", 3, "--repeats", 2, "--concurrency", 1)  # fmt: skip
        done = evaluate(home, tmp_path / "r", *ask)
        assert done.exit_code == 0, done.output
        assert len(server.asked) == 6 * 3 * 2
        assert {len(one["documents"]) for one in server.asked} == {1}
        assert "passed over: 1 answer refused" in done.stderr
        assert "This run: 36 answers" in done.stderr
        assert "not judged queries 0, not judged documents 1" in done.stdout
        assert (tmp_path / "r.answers.jsonl").is_file()
        again = evaluate(home, tmp_path / "r", *ask)
        assert again.exit_code == 0, again.output
        assert len(server.asked) == 36
        assert "This run: 0 answers" in again.stderr
    found = read_scores(tmp_path / "r/tasks/base/relevance")
    values = found.values["context_relevance_score"]
    assert 0 < values.max() <= 1
    told = json.loads((tmp_path / "r/tasks/tasks.json").read_text())["tasks"][0]
    assert told["facts"]["judge"] == "m"
    assert [one["name"] for one in told["measures"]] == ["context_relevance_score",
                                                         "relevance_spread_error"]  # fmt: skip
    # only the refused question can differ from one repeat to the next
    assert (found.values["relevance_spread_error"] > 0).sum() <= 1


def test_at_the_limit_nothing_is_half_judged_and_a_higher_one_goes_on(
    home: Path, tmp_path: Path
) -> None:
    with served(JudgeServer(grade=grade)) as server:
        ask = ("--task", "relevance", "--llm", "m", "--base-url", f"{server.address}/v1", *PRICES,
               "--queries", 2, "--depth", 2, "--max-answer-tokens", 16,
               "--concurrency", 1)  # fmt: skip
        done = evaluate(home, tmp_path / "r", *ask, "--limit-usd", 1.3)
        assert isinstance(done.exception, BadSetting)
        assert "the same command goes on, and pays nothing twice" in str(done.exception)
        assert "This run: " in done.stderr
        assert list(tmp_path.glob("r/*")) == []
        paid = len(server.asked)
        assert 0 < paid < 8
        done = evaluate(home, tmp_path / "r", *ask, "--limit-usd", 100)
        assert done.exit_code == 0, done.output
        assert len(server.asked) == 2 * 2 * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "relevance"), "needs one judge.*found none"),
        (("--task", "relevance", "--reranker", "cross", "--llm", "m"), "found both"),
        (("--reranker", "cross"), "--reranker goes with --task relevance"),
        (("--depth", 3, "--queries", 2), "--depth and --queries go with --task relevance"),
        (("--task", "relevance", "--reranker", "cross", "--repeats", 2), "--repeats is for --llm"),
        (("--task", "relevance", "--llm", "m"), "m needs an API key"),
    ],
)
def test_a_judge_that_makes_no_sense_is_refused(
    words: tuple[object, ...], message: str, home: Path, tmp_path: Path
) -> None:
    chosen = [home / "cross" if word == "cross" else word for word in words]
    done = evaluate(home, tmp_path / "r", *chosen)
    with pytest.raises(BadSetting, match=message):
        raise done.exception or AssertionError(done.output)
    assert list(tmp_path.iterdir()) == []
