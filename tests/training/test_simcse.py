"""Without labels: a text that is its own answer is looked at twice, through other dropout."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from looking import infonce_of, losses_of, weights_of
from test_batch import Facts, written
from tiny import WORDS

from nearfar.data.dataset import Dataset
from nearfar.losses import LossSettings
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batch
from nearfar.training.course import Course, Task, open_course
from nearfar.training.learner import Learner
from nearfar.training.settings import Training
from nearfar.training.train import train

SETTINGS = Training(
    pairs_per_step=8, epochs=20, checks=1, dropout=0.1, learning_rate=1e-3, max_steps=24
)
TEMPERATURE = 0.05


@pytest.fixture
def unlabelled(tmp_path: Path) -> Dataset:
    """Sixteen texts, each its own answer."""
    texts = {f"t{i}": " ".join(WORDS[i * 5 : i * 5 + 2 + i % 4]) for i in range(16)}
    facts: Facts = [(name, name, 1.0, "train") for name in texts]
    return written(tmp_path / "texts", texts, texts, facts)


def first(
    dataset: Dataset, learner: TextEncoder, folder: Path, settings: Training
) -> tuple[Batch, torch.Tensor, float]:
    """Return the first batch of a run, the vectors of its texts as they learn, and the loss."""
    folder.mkdir()
    course: Course = open_course(folder, [Task(dataset=dataset)], settings, learner.tokens)
    learns = Learner(learner, [LossSettings(temperature=TEMPERATURE)], settings, course.steps)
    _, batch = course[0]
    learned = learns.learn(0, (0, 0, 1), batch, course.stores[0])
    return batch, learned.outputs, learned.loss


@pytest.mark.parametrize("chunk", [1, 10_000])  # both looks in one chunk, or each in its own
def test_each_text_is_seen_twice_and_differently(
    unlabelled: Dataset, learner: TextEncoder, tmp_path: Path, chunk: int
) -> None:
    settings = replace(SETTINGS, tokens_per_chunk=chunk)
    batch, vectors, loss = first(unlabelled, learner, tmp_path / "a", settings)
    assert len(batch.texts) == 16
    assert sorted(batch.texts[batch.query]) == sorted(batch.texts[batch.document])
    assert not set(batch.query.tolist()) & set(batch.document.tolist())
    edges = batch.edges
    queries, documents = vectors[batch.query], vectors[batch.document]
    own = (queries[edges.query] * documents[edges.document]).sum(1)
    assert len(own) == 8
    assert (own < 1 - 1e-4).all()
    assert (own > 0.5).all()
    assert loss > 1e-3


def test_without_dropout_both_looks_are_one(
    unlabelled: Dataset, learner: TextEncoder, tmp_path: Path
) -> None:
    batch, vectors, _ = first(unlabelled, learner, tmp_path / "a", replace(SETTINGS, dropout=0.0))
    edges = batch.edges
    queries, documents = vectors[batch.query], vectors[batch.document]
    own = (queries[edges.query] * documents[edges.document]).sum(1)
    torch.testing.assert_close(own, torch.ones(8), rtol=0, atol=1e-5)


def test_another_step_looks_through_other_dropout(
    unlabelled: Dataset, learner: TextEncoder, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, learning_rate=1e-12, epochs=3, pairs_per_step=16)
    train(learner, Task(dataset=unlabelled), tmp_path / "run", settings)
    found = losses_of(tmp_path / "run")  # of the same sixteen texts each time
    assert len({round(loss, 4) for loss in found}) == 3


def test_a_text_is_no_negative_of_itself_where_it_is_not_its_answer(
    learner: TextEncoder, tmp_path: Path
) -> None:
    texts = {"own": "ba da", "both": "fa ga ha", "end": "ka la"}
    facts: Facts = [
        ("own", "own", 1.0, "train"),  # a twin
        ("end", "both", 1.0, "train"),
        ("both", "end", 1.0, "train"),  # "both" and "end" stand on both sides
    ]
    dataset = written(tmp_path / "d", texts, texts, facts)
    batch, vectors, loss = first(dataset, learner, tmp_path / "a", SETTINGS)
    edges = batch.edges
    assert len(batch.texts) == 4  # the twin alone is there twice
    assert edges.excluded is not None
    left_out = [
        (int(batch.texts[batch.query[q]]), int(batch.texts[batch.document[d]]))
        for q, d in edges.excluded.tolist()
    ]
    assert len(left_out) == 2
    assert all(one == other for one, other in left_out)
    twin = [
        (q, d)
        for q, d in zip(edges.query.tolist(), edges.document.tolist(), strict=True)
        if batch.texts[batch.query[q]] == batch.texts[batch.document[d]]
    ]
    assert len(twin) == 1
    assert list(twin[0]) not in edges.excluded.tolist()
    queries, documents = vectors[batch.query], vectors[batch.document]
    wanted = infonce_of(queries, documents, edges, TEMPERATURE)
    assert loss == pytest.approx(wanted, abs=1e-5)
    pushed = infonce_of(queries, documents, replace(edges, excluded=None), TEMPERATURE)
    assert pushed > wanted + 0.1  # or it would not matter


def test_texts_alone_make_a_model_learn(
    unlabelled: Dataset, learner: TextEncoder, bert: Path, tmp_path: Path
) -> None:
    result = train(learner, Task(dataset=unlabelled), tmp_path / "run", SETTINGS)
    found = losses_of(tmp_path / "run")
    assert sum(found[-4:]) < 0.7 * sum(found[:4])
    assert weights_of(result.model).keys() == weights_of(bert).keys()
