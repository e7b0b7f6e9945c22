"""Losses of a teacher's scores learn from lists: whole queries are drawn, not single pairs."""

from pathlib import Path

import numpy as np
import pytest
from tiny import WORDS

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.losses import LossSettings
from nearfar.model.text import TextEncoder
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.training.course import Task, open_course
from nearfar.training.settings import Training

SETTINGS = Training(pairs_per_step=16)
SCORES = LossSettings(name="listwise_kl")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Queries with an answer and nine further documents of their own, all scored."""
    folder = tmp_path_factory.mktemp("scored") / "d"
    dice = np.random.default_rng(0)
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(60):
            writer.add_query(Query(id=f"q{i}", content=f"{WORDS[i % 90]} {i}"))
            for j in range(10):
                name = f"d{i}-{j}"
                writer.add_document(Document(id=name, content=f"{WORDS[j]} {i} {j}"))
                writer.add_judgment(
                    Judgment(query_id=f"q{i}", document_id=name, grade=float(j == 0),
                             origin=Origin(kind="taught", source=name), split="train",
                             score=float(dice.normal()))
                )  # fmt: skip
    return Dataset.open(folder)


def test_every_query_of_a_batch_has_a_list_and_every_query_comes_once_a_pass(
    scored: Dataset, learner: TextEncoder, tmp_path: Path
) -> None:
    task = Task(dataset=scored, loss=SCORES)
    course = open_course(tmp_path, [task], SETTINGS, learner.tokens)
    assert course.steps == round(60 / 16)
    seen: list[int] = []
    for step in range(60 // 16):  # the whole batches of a pass
        _, batch = course[step]
        edges = batch.edges
        assert edges.score is not None
        sizes = np.bincount(edges.query[~edges.score.isnan()].numpy())
        assert sizes.min() == sizes.max() == 9  # the best and eight others
        assert len(sizes) == len(batch.query) == 16
        seen += batch.texts[batch.query].tolist()
    assert len(seen) == len(set(seen))


def test_the_best_of_a_list_is_always_there(
    scored: Dataset, learner: TextEncoder, tmp_path: Path
) -> None:
    task = Task(dataset=scored, loss=SCORES)
    settings = Training(pairs_per_step=16, negatives_per_pair=2)
    course = open_course(tmp_path, [task], settings, learner.tokens)
    known = course.stores[0].known
    _, batch = course[0]
    rows = batch.texts[batch.query]
    for place, row in enumerate(rows.tolist()):
        own = slice(known.starts[row], known.starts[row + 1])
        assert batch.edges.score is not None
        here = batch.edges.score[batch.edges.query == place]
        assert len(here) == 3
        assert float(here.max()) == pytest.approx(known.score[own].max())


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_batches_of_another_loss_take_turns_with_them_in_the_share_asked_for(
    scored: Dataset, learner: TextEncoder, tmp_path: Path, share: float
) -> None:
    tasks = [Task(dataset=scored, loss=SCORES), Task(dataset=scored, of_first=share)]
    course = open_course(tmp_path, tasks, Training(pairs_per_step=6, epochs=2), learner.tokens)
    counts = np.bincount([course[step][0] for step in range(course.steps)])
    assert counts[0] == 20
    assert counts[1] == 20 * share
