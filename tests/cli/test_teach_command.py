"""The command says what would be scored, what was, what it cost, and what is wrong."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from llm_server import JudgeServer, served
from tiny import tiny_bert
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from typer.testing import CliRunner, Result

from nearfar.cli.teach import teach
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadRecord, BadSetting, NearfarError
from nearfar.model.calibration import calibrate
from nearfar.model.rerankers import load_reranker
from nearfar.records import Document, Judgment, Origin, Query

APP = typer.Typer()
APP.command()(teach)
PRICES = ["--input-price", "1000", "--output-price", "5000"]
WORDS = ["bada", "bado", "fela", "gola", "kano", "lani"]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        monkeypatch.delenv(f"{name}_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_bert(tmp_path_factory.mktemp("model") / "cross")
    config = BertConfig.from_pretrained(folder)
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def data(folder: Path) -> Path:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for word in WORDS:
            writer.add_document(Document(id=f"d-{word}", content=f"all about {word}"))
            writer.add_query(Query(id=f"q-{word}", content=f"what is {word}"))
        for place, word in enumerate(WORDS):
            for other in (word, WORDS[place - 1]):
                origin = Origin(kind="human" if other == word else "mined", source="t:1")
                writer.add_judgment(
                    Judgment(query_id=f"q-{word}", document_id=f"d-{other}",
                             grade=float(other == word), origin=origin, split="train")
                )  # fmt: skip
    return folder


def call(tmp_path: Path, *options: str) -> Result:
    if not (tmp_path / "data").exists():
        data(tmp_path / "data")
    return CliRunner().invoke(APP, [str(tmp_path / "data"), str(tmp_path / "new"), *options])


def grade(query: str, document: str) -> int:
    return 3 * (query.split()[-1] == document.split()[-1])


def test_a_cross_encoder_scores_and_says_so(tmp_path: Path, reranker: Path) -> None:
    dry = call(tmp_path, "--reranker", str(reranker), "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "12 pairs of 6 queries would be scored." in dry.stdout
    assert not (tmp_path / "new").exists()
    done = call(tmp_path, "--reranker", str(reranker))
    assert done.exit_code == 0, done.output
    assert "12 of 12 pairs scored, 6 queries." in done.stdout
    assert "scored by this run: 12" in done.stderr
    again = call(tmp_path, "--reranker", str(reranker), "--replace")
    assert "scored by this run: none" in again.stderr
    scores = [one.score for one in Dataset.open(tmp_path / "new").judgments()]
    assert None not in scores


def test_a_calibration_beside_the_reranker_is_used_if_it_fits(
    tmp_path: Path, reranker: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(reranker, folder)
    fingerprint = load_reranker(folder).fingerprint
    logits, answers = torch.linspace(-2, 2, 40), (torch.arange(40) % 3 > 0).long()
    found = calibrate(logits + 3 * answers, answers, reranker=fingerprint)
    found.write(folder)
    done = call(tmp_path, "--reranker", str(folder))
    assert done.exit_code == 0, done.output
    assert "by the calibration" in done.stderr
    parent = Dataset.open(tmp_path / "new").manifest["parents"][0]
    assert parent["taught_with"]["scale"]["offset"] == found.offset
    replace(found, reranker="b" * 16).write(folder)
    other = call(tmp_path, "--reranker", str(folder), "--replace")
    assert other.exit_code == 0, other.output
    assert "Not used: " in other.stderr
    assert "by the calibration" not in other.stderr
    replace(found, slope=1e-4).write(folder)  # as of one that cannot tell
    unsure = call(tmp_path, "--reranker", str(folder), "--replace",
                  "--set", "teaching.answer_probability=1")  # fmt: skip
    assert "The teacher is unsure of 100% of the negatives" in unsure.stderr
    (folder / "calibration.json").write_text("{")
    damaged = call(tmp_path, "--reranker", str(folder), "--replace").exception
    assert "damaged" in str(damaged)


def test_a_dry_run_writes_nothing_and_the_bill_keeps_to_it(tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server:
        model = ["--llm", "m", "--base-url", f"{server.address}/v1", *PRICES]
        dry = call(tmp_path, *model, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert not server.asked
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
        done = call(tmp_path, *model)
        again = call(tmp_path, *model, "--replace")
    assert "24 requests, at most" in dry.stdout
    assert done.exit_code == 0, done.output
    bill = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert f"24 answers with {server.input_tokens:,} input" in done.stdout
    assert f"{bill:,.4f} dollars" in done.stdout
    assert bill <= float(dry.stdout.split("at most ")[1].split()[0].replace(",", ""))
    assert f"0.0000 dollars, {bill:,.4f} with those before" in again.stdout
    assert "agrees with itself 100% (alpha 1.00)" in done.stderr
    assert (tmp_path / "new.answers.jsonl").is_file()


def test_an_llm_that_compares(tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server:
        done = call(tmp_path, "--llm", "m", "--base-url", f"{server.address}/v1", "--pairwise")
    assert done.exit_code == 0, done.output
    by_pair = {one.document_id[2:] == one.query_id[2:]: one.score
               for one in Dataset.open(tmp_path / "new").judgments()}  # fmt: skip
    assert by_pair[True] == -by_pair[False] > 0
    one = next(Dataset.open(tmp_path / "new").judgments())
    assert one.score is not None
    assert one.origin.facts["elo"] == round(1_500 + 173.7178 * one.score)
    assert "price unknown" in done.stdout


def test_what_was_paid_is_said_even_where_the_judge_is_refused(tmp_path: Path) -> None:
    with served(JudgeServer(grade=lambda query, document: 0)) as server:
        model = ["--llm", "m", "--base-url", f"{server.address}/v1", *PRICES]
        for word in "hijmno":  # enough pairs that people have judged
            WORDS.append(f"{word}ola")
        try:
            refused = call(tmp_path, *model)
            allowed = call(tmp_path, *model, "--allow-disagreement")
        finally:
            del WORDS[6:]
    assert isinstance(refused.exception, BadRecord)
    assert "0% of 12 pairs" in str(refused.exception)
    assert "This run: 24 answers" in refused.stderr  # the mined ones were never asked about
    assert allowed.exit_code == 0, allowed.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Expected a teacher, got none"),
        (["--reranker", "x", "--pairwise"], "give one with --llm"),
        (["--llm", "m"], "set ANTHROPIC_API_KEY"),
        (["--llm", "m", "--limit-usd", "1"], "needs the prices"),
        (["--llm", "m", "--repeats", "0"], "judge.repeats must be 1 or more"),
        (["--reranker", "x", "--set", "teaching.fusio=ranks"], "Did you mean 'fusion'"),
        (["--reranker", "x", "--set", "teaching.unsure=perhaps"], "exclude"),
        (["--reranker", "x", "--set", "training.epochs=1"], "training is not a table"),
        (["--reranker", "x", "--depth", "0"], "teaching.depth must be 1 or more"),
        (["--reranker", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--reranker", "/nowhere/at/all", "--dry-run"], "/nowhere/at/all"),
        (
            [
                "--llm",
                "m",
                "--set",
                "teaching.scores=keep",
                "--pairwise",
                "--base-url",
                "http://127.0.0.1:1/v1",
                "--dry-run",
            ],
            "must be replace where documents are compared",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    found = call(tmp_path, *options).exception
    assert isinstance(found, NearfarError | BadSetting)
    assert words in str(found)
    assert not (tmp_path / "new").exists()
