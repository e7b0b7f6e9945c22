"""One run learns from several datasets, and from a teacher's vectors."""

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_bert, tiny_dataset

from nearfar.errors import BadFile, BadSetting
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.pipeline.recipe import free_settings
from nearfar.pipeline.tasks import tasks_of
from nearfar.training.course import open_course
from nearfar.training.settings import Training
from nearfar.training.train import train


def test_further_datasets_are_tasks_with_losses_and_prompts_of_their_own(tmp_path: Path) -> None:
    own, other = tiny_dataset(tmp_path / "own"), tiny_dataset(tmp_path / "other", pairs=20)
    settings = free_settings(
        ['also=[{dataset="other", weight=2.0, query_prompt="ba ", loss={name="cosent"}}]']
    )
    tasks = tasks_of(own, settings, tmp_path)
    assert [task.loss.name for task in tasks] == ["infonce", "cosent"]
    assert [task.dataset.digest for task in tasks] == [own.digest, other.digest]
    assert tasks[1].query_prompt == "ba "
    result = train(
        TextEncoder.load(tiny_bert(tmp_path / "bert"), TextSettings(precision="float32")),
        tasks,
        tmp_path / "run",
        Training(pairs_per_step=5, epochs=1),
    )
    assert result.steps == 7 + 2 * 3
    lineage = json.loads((result.model / "nearfar.json").read_text())
    assert [task["loss"]["name"] for task in lineage["tasks"]] == ["infonce", "cosent"]


def test_a_dataset_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = free_settings(['also=[{dataset="nowhere"}]'])
    with pytest.raises(BadFile, match="nowhere"):
        tasks_of(tiny_dataset(tmp_path / "own"), settings, tmp_path)


def test_a_wrong_key_of_a_further_dataset_is_named_with_its_place() -> None:
    with pytest.raises(
        BadSetting, match=r"also\[0\]\.wieght is not a setting. Did you mean 'weight'"
    ):
        free_settings(['also=[{dataset="x", wieght=2.0}]'])


def test_a_teachers_vectors_come_with_the_texts_they_are_of(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "data")
    teacher = tiny_bert(tmp_path / "teacher", seed=7)
    settings = free_settings([f'teacher={{base="{teacher}", precision="float32"}}'])
    [task] = tasks_of(dataset, settings, tmp_path)
    learner = TextEncoder.load(tiny_bert(tmp_path / "bert"), TextSettings(precision="float32"))
    course = open_course(tmp_path / "run", [task], Training(pairs_per_step=9), learner.tokens)
    _, batch = course[0]
    assert batch.edges.teacher is not None
    expert = TextEncoder.load(teacher, TextSettings(precision="float32"))
    decode = learner.tokens.tokenizer.decode
    for role, places, vectors in (
        ("query", batch.query, batch.edges.teacher[0]),
        ("document", batch.document, batch.edges.teacher[1]),
    ):
        rows = [course.stores[0][row] for row in batch.texts[places.numpy()]]
        texts = [decode(row, skip_special_tokens=True) for row in rows]
        torch.testing.assert_close(vectors, expert.encode(texts, role), rtol=0, atol=1e-5)  # type: ignore[arg-type]


def test_a_student_learns_where_its_teacher_has_texts(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "data")
    settings = free_settings(
        [f'teacher={{base="{tiny_bert(tmp_path / "teacher", seed=7)}"}}',
         "loss.name=embedding_distillation"]
    )  # fmt: skip
    learner = TextEncoder.load(tiny_bert(tmp_path / "bert"), TextSettings(precision="float32"))
    train(
        learner, tasks_of(dataset, settings, tmp_path), tmp_path / "run",
        Training(pairs_per_step=9, epochs=10, learning_rate=3e-3),
    )  # fmt: skip
    rows = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    losses = [row["loss"] for row in rows if row["kind"] == "step"]
    assert losses[-1] < 0.5 * losses[0]
