"""A cross-encoder trained from the name of a model, checked and calibrated on dev."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from marked import BAD, DEV, GOOD, marked
from tiny import WORDS, tiny_bert, tiny_cross, tiny_dataset, tiny_llama
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadRecord, BadSetting
from nearfar.evaluation.settings import Evaluation
from nearfar.model.calibration import read_calibration
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.rerankers import load_reranker
from nearfar.model.yes_no import YesNoReranker
from nearfar.pipeline.dev_pairs import read_dev_pairs
from nearfar.pipeline.recipe import free_settings


class Knowing:
    """A reranker that knows the answers, or their opposite."""

    fingerprint = "knowing"

    def __init__(self, answers: set[tuple[str, str]], sign: float) -> None:
        self.answers, self.sign = answers, sign

    def score(self, query: str, documents: list[str]) -> torch.Tensor:
        return torch.tensor([self.sign * ((query, one) in self.answers) for one in documents])

    def score_pairs(
        self, queries: list[str], documents: list[str], pairs: torch.Tensor, **_: object
    ) -> torch.Tensor:
        return torch.cat([self.score(queries[q], [documents[d]]) for q, d in pairs.tolist()])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("learning") / "d")


def test_each_dev_query_has_its_answer_and_documents_that_are_near_by_words(
    dataset: Dataset,
) -> None:
    found = read_dev_pairs(dataset, Evaluation(dev_candidates=4))
    assert found is not None
    asked = {query.content for query in dataset.queries()}
    answers = {
        (query.content, document.content)
        for judgment in dataset.judgments("dev")
        for query in dataset.queries()
        for document in dataset.documents()
        if (judgment.query_id, judgment.document_id) == (query.id, document.id)
    }
    pairs = found.pairs.tolist()
    for (query, document), answer in zip(pairs, found.answers.tolist(), strict=True):
        text = found.task.queries[query].content
        assert text in asked
        assert answer == ((text, found.documents[document]) in answers)
        shared = set(text.split()) & set(found.documents[document].split())
        assert answer or shared  # BM25 finds nothing without a word in common
    counts = np.bincount(found.pairs[:, 0].numpy())
    assert len(counts) == len(answers) == 6
    assert counts.min() > 1
    assert counts.max() <= 5
    assert found.check(Knowing(answers, 1.0))["ndcg_at_10_score"] == 1
    assert found.check(Knowing(answers, -1.0))["ndcg_at_10_score"] < 1
    again = read_dev_pairs(dataset, Evaluation(dev_candidates=4))
    assert again is not None
    assert torch.equal(again.pairs, found.pairs)


def test_an_encoder_becomes_a_reranker_on_the_command_line(tmp_path: Path) -> None:
    base = tiny_bert(tmp_path / "bert")
    learnable = marked(tmp_path / "data").folder
    command = [
        "train", learnable, tmp_path / "run", "--model", base, "--cross-encoder",
        "--set", "training.epochs=12", "--set", "training.pairs_per_step=8",
        "--set", "training.learning_rate=2e-3", "--set", "training.strangers_per_query=0",
        "--set", "reranking_loss.name=listwise_softmax", "--set", "training.checks=2",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    model = tmp_path / "run" / "model"
    assert done.output.splitlines()[-1] == str(model)
    tuned = load_reranker(model)
    assert isinstance(tuned, CrossEncoder)
    calibration = read_calibration(model, reranker=tuned.fingerprint)
    assert (calibration.pairs, calibration.answers) == (2 * DEV, DEV)
    asked = WORDS[1]  # a query of train: what it learned, beyond doubt
    right, wrong = calibration.probability(
        tuned.score(asked, [f"{asked} {GOOD}", f"{asked} {BAD}"])
    )
    assert right > 0.5 > wrong
    rows = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    dev = [row["ndcg_at_10_score"] for row in rows if row["kind"] == "dev"]
    assert len(dev) == 3


def test_a_reranker_that_knows_nothing_is_no_probability(dataset: Dataset) -> None:
    found = read_dev_pairs(dataset, Evaluation(dev_candidates=4))
    assert found is not None
    with pytest.raises(BadRecord, match="logits that differ"):
        found.calibration(Knowing(set(), 1.0))


def test_a_head_that_is_there_is_kept_and_one_that_is_not_is_drawn(tmp_path: Path) -> None:
    trained = CrossEncoder.load(tiny_cross(tmp_path / "a"))
    again = CrossEncoder.load(tmp_path / "a" / "cross", CrossSettings(new_head=None))
    assert again.fingerprint == trained.fingerprint
    base = tiny_bert(tmp_path / "b")
    with pytest.raises(BadModel, match="trained head"):
        CrossEncoder.load(base)
    drawn = [CrossEncoder.load(base, CrossSettings(new_head=None, seed=s)) for s in (0, 0, 1)]
    assert drawn[0].fingerprint == drawn[1].fingerprint != drawn[2].fingerprint


def test_a_language_model_is_asked_for_yes_or_no(tmp_path: Path) -> None:
    assert isinstance(load_reranker(tiny_cross(tmp_path / "cross")), CrossEncoder)
    assert isinstance(load_reranker(tiny_llama(tmp_path / "llama")), YesNoReranker)


def test_the_loss_of_a_reranker_is_a_setting(tmp_path: Path) -> None:
    chosen = free_settings(["reranking_loss.name=lambdarank", "reranking_loss.options={k = 5}"])
    assert chosen.reranking_loss.options == {"k": 5}


def test_a_loss_that_would_not_be_learned_by_is_refused(tmp_path: Path) -> None:
    asked = [([], "reranking_loss.name=ranknet", "an encoder learns by loss"),
             (["--cross-encoder"], "loss.name=cosent", "a cross-encoder learns by")]  # fmt: skip
    for flags, setting, said in asked:
        words = ["train", "data", "run", "--model", "m", *flags, "--set", setting]
        done = CliRunner().invoke(app, words)
        assert isinstance(done.exception, BadSetting)
        assert said in str(done.exception)
    with pytest.raises(BadSetting, match=r"reranking_loss\.name must be one of binary"):
        free_settings(["reranking_loss.name=best"])
