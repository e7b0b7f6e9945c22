"""What stands around a loss does so in a run: layers, prefixes, rounding, false negatives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from looking import furthest, infonce_of, losses_of, unmoved, vectors_of, weights_of
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.losses import Edges, LossSettings
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.batch import Batch
from nearfar.training.course import Course, Task, open_course
from nearfar.training.settings import Training
from nearfar.training.train import TrainingResult, train

SETTINGS = Training(pairs_per_step=8, epochs=2, max_steps=4, checks=1, learning_rate=1e-3)
Go = Callable[..., TrainingResult]


@pytest.fixture
def go(bert: Path, dataset: Dataset) -> Go:
    def go(folder: Path, loss: LossSettings, **changes: object) -> TrainingResult:
        learner = TextEncoder.load(bert, TextSettings(precision="float32"))
        settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
        return train(learner, Task(dataset=dataset, loss=loss), folder, settings)

    return go


@pytest.fixture
def course(tmp_path: Path, dataset: Dataset, learner: TextEncoder) -> Course:
    (tmp_path / "slow").mkdir()
    return open_course(tmp_path / "slow", [Task(dataset=dataset)], SETTINGS, learner.tokens)


@pytest.fixture
def batch(course: Course) -> Batch:
    """The first batch of a run."""
    return course[0][1]


def test_every_layer_and_every_prefix_has_its_share(
    go: Go, batch: Batch, course: Course, learner: TextEncoder, tmp_path: Path
) -> None:
    loss = LossSettings(layers=(0, 1), matryoshka=(32, 8), temperature=0.01)
    go(tmp_path / "run", loss, **unmoved())
    parts = []
    for layer in (-1, 0, 1):  # the last, the embeddings, the first
        queries, documents = vectors_of(learner, course.stores[0], batch, layer)
        for prefix in (8, 32):
            short = queries[:, :prefix], documents[:, :prefix]
            parts.append(infonce_of(*short, batch.edges, 0.01))
    assert max(parts) - min(parts) > 0.05  # or any of them would do
    assert losses_of(tmp_path / "run")[0] == pytest.approx(sum(parts) / 6, abs=1e-3)


def test_short_vectors_of_an_early_layer_learn_too(
    go: Go, course: Course, bert: Path, tmp_path: Path
) -> None:
    def early(folder: Path) -> float:
        """Return the loss of all pairs by 8 numbers of the first layer."""
        encoder = TextEncoder.load(folder, TextSettings(precision="float32"))
        found = 0.0
        for step in range(4):
            _, batch = course[step]
            q, d = vectors_of(encoder, course.stores[0], batch, layer=1)
            found += infonce_of(q[:, :8], d[:, :8], batch.edges, 0.05)
        return found

    longer = {"max_steps": 30, "epochs": 8}
    both = LossSettings(layers=(1,), matryoshka=(8, 32))
    with_it = early(go(tmp_path / "a", both, **longer).model)
    without = early(go(tmp_path / "b", LossSettings(), **longer).model)
    assert with_it < 0.8 * without < early(bert)


def test_more_numbers_than_a_vector_has_are_refused(go: Go, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="matryoshka must be at most the 32 numbers of a vector"):
        go(tmp_path / "run", LossSettings(matryoshka=(64,)))


def rounded(kind: str, queries: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
    """Round as storage does, a number at a time."""
    if kind == "binary":
        return tuple(2.0 * (side >= 0) - 1 for side in (queries, documents))  # type: ignore[return-value]
    found = []
    for side in (queries, documents):
        columns = []
        for number in range(side.shape[1]):
            low, high = documents[:, number].min(), documents[:, number].max()
            steps = torch.round((side[:, number] - low) / (high - low) * 255).clamp(0, 255)
            columns.append(low + steps * (high - low) / 255)
        found.append(torch.stack(columns, dim=1))
    return found[0], found[1]


@pytest.mark.parametrize("kind", ["int8", "binary"])
def test_a_rounded_loss_is_the_mean_of_both_and_falls(
    go: Go, batch: Batch, course: Course, learner: TextEncoder, kind: str, tmp_path: Path
) -> None:
    store = course.stores[0]
    go(tmp_path / "still", LossSettings(quantisation=kind), **unmoved())
    exact = vectors_of(learner, store, batch)
    parts = [infonce_of(*pair, batch.edges, 0.05) for pair in (exact, rounded(kind, *exact))]
    assert abs(parts[0] - parts[1]) > 1e-3
    assert losses_of(tmp_path / "still")[0] == pytest.approx(sum(parts) / 2, abs=2e-3)

    result = go(tmp_path / "run", LossSettings(quantisation=kind), max_steps=30, epochs=8)
    found = losses_of(tmp_path / "run")
    assert sum(found[-4:]) < 0.6 * sum(found[:4])
    tuned = TextEncoder.load(result.model, TextSettings(precision="float32"))
    after = rounded(kind, *vectors_of(tuned, store, batch))
    assert infonce_of(*after, batch.edges, 0.05) < 0.6 * parts[1]


def excluding(edges: Edges, queries: Tensor, documents: Tensor, margin: float) -> Edges:
    """Leave out, a pair at a time, what is nearer to a query than its answer less a margin."""
    answers = dict(zip(edges.query.tolist(), edges.document.tolist(), strict=True))
    near = [
        [q, d]
        for q, own in answers.items()
        for d in range(len(documents))
        if d != own and queries[q] @ documents[d] > queries[q] @ documents[own] - margin
    ]
    return edges.excluding(torch.tensor(near).reshape(-1, 2))


@pytest.mark.parametrize("margin", [0.0, 0.01, -0.002])
def test_documents_nearer_than_the_answer_are_no_negatives(
    go: Go, batch: Batch, course: Course, learner: TextEncoder, margin: float, tmp_path: Path
) -> None:
    loss = LossSettings(false_negatives="itself", false_negative_margin=margin)
    go(tmp_path / "run", loss, **unmoved())
    queries, documents = vectors_of(learner, course.stores[0], batch)
    edges = excluding(batch.edges, queries, documents, margin)
    assert edges.excluded is not None
    assert 0 < len(edges.excluded) < 8 * 7
    wanted = infonce_of(queries, documents, edges, 0.05)
    assert losses_of(tmp_path / "run")[0] == pytest.approx(wanted, abs=1e-4)
    assert wanted < infonce_of(queries, documents, batch.edges, 0.05) - 0.1


def test_where_no_document_is_nearer_the_filter_changes_nothing(go: Go, tmp_path: Path) -> None:
    plain = go(tmp_path / "a", LossSettings())
    # Nothing is nearer than the answer and two cosines more.
    far = LossSettings(false_negatives="itself", false_negative_margin=-2.0)
    filtered = go(tmp_path / "b", far)
    assert losses_of(tmp_path / "a") == losses_of(tmp_path / "b")
    assert furthest(weights_of(plain.model), weights_of(filtered.model)) == 0
    near = LossSettings(false_negatives="itself")
    other = go(tmp_path / "c", near)
    assert furthest(weights_of(plain.model), weights_of(other.model)) > 1e-4  # it can fail
