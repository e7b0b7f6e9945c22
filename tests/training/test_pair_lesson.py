"""A cross-encoder learns with the trainer of encoders: same store, order, checkpoints, diary."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from looking import furthest, losses_of, weights_of
from tiny import WORDS, tiny_cross
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadSetting, Stopped
from nearfar.losses import Edges, LossSettings
from nearfar.losses.reranking import RERANKING_LOSSES, RerankingLossSettings
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.text import TextEncoder
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.training.batch import Batch
from nearfar.training.course import Course, Task, open_course
from nearfar.training.diagnosis import diagnose_scores
from nearfar.training.learner import Learner
from nearfar.training.settings import Lora, Training
from nearfar.training.strangers import with_strangers
from nearfar.training.train import Hooks, TrainingResult, train

SETTINGS = Training(pairs_per_step=8, epochs=3, checks=3, learning_rate=2e-3)
LOSS = RerankingLossSettings(name="listwise_softmax")


@pytest.fixture(scope="module")
def cross_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross(tmp_path_factory.mktemp("cross"), dropout=0.1)


@pytest.fixture
def cross(cross_folder: Path) -> CrossEncoder:
    return CrossEncoder.load(cross_folder, CrossSettings(precision="float32"))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each query has an answer, two judged negatives and a teacher's scores; one word tells."""
    folder = tmp_path_factory.mktemp("judged") / "d"
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(64):
            words = [WORDS[(i * k + k + 9) % len(WORDS)] for k in range(2 + i % 11)]
            sign = "ba" if i < 32 else "do"
            writer.add_document(Document(id=f"d{i}", content=" ".join([sign, *words])))
        for i in range(32):
            writer.add_query(Query(id=f"q{i}", content=f"{WORDS[i + 9]} {WORDS[40 + i]}"))
            for place, other in enumerate((i, 32 + (i + 5) % 32, 32 + (i + 9) % 32)):
                writer.add_judgment(
                    Judgment(
                        query_id=f"q{i}", document_id=f"d{other}", grade=float(place == 0),
                        origin=Origin(kind="human", source=f"f:{i}"), split="train",
                        score=3.0 - place,
                    )
                )  # fmt: skip
    return Dataset.open(folder)


def first(
    cross: CrossEncoder, dataset: Dataset, folder: Path, loss: RerankingLossSettings, **changes: int
) -> tuple[Course, Learner, Batch]:
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    folder.mkdir(exist_ok=True)
    course = open_course(folder, [Task(dataset=dataset, loss=loss)], settings, cross.tokens)
    return course, Learner(cross, [loss], settings, course.steps), course[0][1]


@pytest.mark.parametrize(("chunk", "memory"), [(10_000, 2_048), (40, 2_048), (40, 1)])
@pytest.mark.parametrize("name", RERANKING_LOSSES)
def test_gradients_are_those_of_the_plain_model(
    cross: CrossEncoder, cross_folder: Path, judged: Dataset, tmp_path: Path, name: str, chunk: int,
    memory: int,
) -> None:  # fmt: skip
    loss = RerankingLossSettings(name=name)
    course, learner, batch = first(
        cross, judged, tmp_path / "run", loss, tokens_per_chunk=chunk, memory_mb=memory,
        strangers_per_query=0,
    )  # fmt: skip
    learned = learner.learn(0, (0, 0, 1), batch, course.stores[0])

    # The whole of it without any of our code but the loss: texts, tokenizer, model, one batch.
    plain = AutoModelForSequenceClassification.from_pretrained(cross_folder)
    plain.eval()  # our runs have no dropout
    tokenizer = AutoTokenizer.from_pretrained(cross_folder)
    texts = {i: one.content for i, one in enumerate([*judged.queries(), *judged.documents()])}
    edges = batch.edges
    queries = [texts[int(batch.texts[batch.query[q]])] for q in edges.query]
    documents = [texts[int(batch.texts[batch.document[d]])] for d in edges.document]
    inputs = tokenizer(queries, documents, padding=True, truncation=True, return_tensors="pt")
    scores = plain(**inputs).logits[:, 0]
    value = RERANKING_LOSSES[name](scores, edges)
    value.backward()

    assert len(edges.query) == 24  # an answer and two negatives for each of 8 queries
    assert learned.loss == pytest.approx(value.item(), rel=1e-4, abs=1e-5)
    torch.testing.assert_close(learned.outputs[:, 0], scores.detach(), rtol=1e-4, atol=1e-5)
    theirs = {key: weight.grad for key, weight in plain.named_parameters()}
    for key, weight in cross.network.transformer.named_parameters():
        assert weight.grad is not None, key  # the pooler learns too: the head stands on it
        torch.testing.assert_close(weight.grad, theirs[key], rtol=1e-3, atol=1e-5)


@pytest.fixture
def go(cross_folder: Path, judged: Dataset) -> Callable[..., TrainingResult]:
    def go(folder: Path, hooks: Hooks | None = None, **changes: object) -> TrainingResult:
        model = CrossEncoder.load(cross_folder, CrossSettings(precision="float32"))
        settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
        return train(model, Task(dataset=judged, loss=LOSS), folder, settings, hooks)

    return go


def test_it_learns_to_put_the_answer_first_and_is_saved_whole(
    go: Callable[..., TrainingResult], judged: Dataset, tmp_path: Path
) -> None:
    result = go(tmp_path / "run", epochs=12, strangers_per_query=0)  # all answers look alike
    rows = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    steps = [row for row in rows if row["kind"] == "step"]
    assert steps[-1]["loss"] < 0.3 * steps[0]["loss"]
    assert steps[-1]["ordered_share"] > 0.95 > steps[0]["ordered_share"]
    assert steps[0]["chance_loss"] == pytest.approx(np.log(3))
    tuned = CrossEncoder.load(result.model, CrossSettings(precision="float32"))
    documents = [one.content for one in judged.documents()]
    for i, query in enumerate(list(judged.queries())[:8]):
        own, *others = tuned.score(
            query.content, [documents[j] for j in (i, 32 + (i + 5) % 32, 32 + (i + 9) % 32)]
        )
        assert own > max(others)
    facts = json.loads((result.model / "nearfar.json").read_text())
    assert facts["reranker"] == tuned.fingerprint
    assert facts["tasks"][0]["dataset"] == judged.digest


def test_a_run_that_was_stopped_ends_as_if_it_had_not(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    whole = go(tmp_path / "whole", dropout=0.1)
    asked = iter(range(100))
    with pytest.raises(Stopped):
        go(tmp_path / "parts", Hooks(stop=lambda: next(asked) == 4), dropout=0.1)
    parts = go(tmp_path / "parts", dropout=0.1)
    assert furthest(weights_of(whole.model), weights_of(parts.model)) == 0
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "parts")
    other = go(tmp_path / "other", dropout=0.1, seed=1)
    assert furthest(weights_of(whole.model), weights_of(other.model)) > 1e-4  # it can fail


def test_without_judged_negatives_documents_of_others_are_read(
    cross: CrossEncoder, dataset: Dataset, tmp_path: Path
) -> None:
    course, learner, batch = first(cross, dataset, tmp_path / "run", LOSS)
    wrong = batch.edges.grade == 0
    assert torch.bincount(batch.edges.query[wrong]).tolist() == [4] * 8
    again = course[0][1].edges
    assert torch.equal(again.document, batch.edges.document)
    assert learner.learn(0, (0, 0, 1), batch, course.stores[0]).loss > 0


def test_a_stranger_is_neither_known_nor_excluded_nor_there_twice() -> None:
    ones = torch.arange(6)
    edges = Edges(
        torch.cat([ones, torch.tensor([0])]), torch.cat([ones, torch.tensor([1])]),
        torch.tensor([1.0] * 6 + [0.0]), excluded=torch.tensor([[2, 3]]), score=torch.ones(7),
    )  # fmt: skip
    batch = Batch(np.arange(12), ones, ones + 6, edges, pairs=6)
    for seed in range(20):
        found = with_strangers(batch, 3, np.random.default_rng(seed)).edges
        pairs = list(zip(found.query.tolist(), found.document.tolist(), strict=True))
        assert len(pairs) == len(set(pairs))
        assert (2, 3) not in pairs
        assert found.grade[7:].eq(0).all()
        assert found.score is not None
        assert found.score[7:].isnan().all()
        assert torch.bincount(found.query[7:]).tolist() == [3] * 6


def test_strangers_fill_up_what_judged_negatives_leave_open_unless_told(
    cross: CrossEncoder, judged: Dataset, tmp_path: Path
) -> None:
    _, _, plain = first(cross, judged, tmp_path / "a", LOSS, strangers_per_query=0)
    _, _, more = first(cross, judged, tmp_path / "b", LOSS, strangers_per_query=1)
    _, _, filled = first(cross, judged, tmp_path / "c", LOSS)
    assert [len(one.edges.query) for one in (plain, more, filled)] == [24, 32, 40]
    wrong = filled.edges.grade == 0
    assert torch.bincount(filled.edges.query[wrong]).tolist() == [4] * 8


def test_a_loss_of_the_other_kind_is_refused(
    cross: CrossEncoder, learner: TextEncoder, judged: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(BadSetting, match="scores of pairs"):
        train(cross, Task(dataset=judged, loss=LossSettings()), tmp_path / "a", SETTINGS)
    with pytest.raises(BadSetting, match="vectors"):
        train(learner, Task(dataset=judged, loss=LOSS), tmp_path / "b", SETTINGS)


def test_what_scores_show_is_counted_pair_by_pair() -> None:
    edges = Edges(
        torch.tensor([0, 0, 0, 1, 1, 2]), torch.arange(6), torch.tensor([1.0, 0, 0, 1, 0, 1])
    )
    found = diagnose_scores(torch.tensor([2.0, 1.0, 3.0, 0.5, 0.5, 9.0]), edges)
    assert found["ordered_share"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["positive_score"] == pytest.approx((2 + 0.5 + 9) / 3)
    assert found["negative_score"] == pytest.approx((1 + 3 + 0.5) / 3)
    assert found["chance_loss"] == pytest.approx((np.log(3) + np.log(2) + 0) / 3)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_with_adapters_the_head_learns_whole(
    go: Callable[..., TrainingResult], cross: CrossEncoder, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    before = {name: w.clone() for name, w in cross.network.transformer.state_dict().items()}
    lora = Lora(rank=2, alpha=4)
    result = go(tmp_path / "run", epochs=4, strangers_per_query=0, lora=lora)
    after = CrossEncoder.load(result.model).network.transformer.state_dict()
    assert after.keys() == before.keys()
    moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight"} <= moved
    assert any("attention" in name for name in moved)
    assert not any("embeddings" in name for name in moved)
    rows = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    steps = [row["loss"] for row in rows if row["kind"] == "step"]
    assert steps[-1] < steps[0]
