"""Teachers see what the model sees, and together_by keeps what is not to meet apart."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from courses import SETTINGS, drawn, texts_of
from doubles import LETTERS, LetterEncoder
from tiny import WORDS
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadSetting
from nearfar.model.text import TextEncoder
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role
from nearfar.training.course import Course, Task


class Teacher(LetterEncoder):
    """Tells queries from documents, as a model with prompts does, and counts what it reads."""

    def __init__(self) -> None:
        super().__init__(replace(LETTERS, query_prompt="q", dim=27))
        self.read = 0

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        self.read += len(contents)
        side = torch.full((len(contents), 1), 1.0 if role == "query" else -1.0)
        return torch.cat([super().encode(contents, role), side], dim=1)


@pytest.mark.parametrize("prompts", [(None, None), ("ba ", "da ga ")])
def test_the_teachers_vectors_are_those_of_the_texts_beside_which_they_stand(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course], learner: TextEncoder,
    prompts: tuple[str | None, str | None],
) -> None:  # fmt: skip
    teacher = Teacher()
    course = opened(
        Task(dataset=dataset),
        Task(dataset=other, teacher=teacher, query_prompt=prompts[0], document_prompt=prompts[1]),
    )
    both = {query.content for query in other.queries()} & {d.content for d in other.documents()}
    assert len(both) == 1
    begins = prompts[0] or "", prompts[1] or ""
    checked = 0
    for step in range(course.steps):
        task, batch = course[step]
        if task == 0:
            assert batch.edges.teacher is None
            continue
        assert batch.edges.teacher is not None
        sides = zip(("query", "document"), texts_of(course, learner, step), begins, strict=True)
        for (role, texts, begin), vectors in zip(sides, batch.edges.teacher, strict=True):
            plain = [text.removeprefix(begin) for text in texts]
            expected = Teacher().encode(plain, role)  # type: ignore[arg-type]
            if prompts[0] is None:  # then a text of both sides is one text, first met as a query
                expected[[text in both for text in plain], -1] = 1.0
            assert torch.equal(vectors, expected)
            checked += len(plain)
    assert checked > 30


def test_a_teacher_reads_each_text_once_for_all_runs(
    other: Dataset, opened: Callable[..., Course]
) -> None:
    teacher = Teacher()
    first = opened(Task(dataset=other, teacher=teacher))
    assert teacher.read == len(first.stores[0]) == 21
    opened(Task(dataset=other, teacher=teacher))
    assert teacher.read == 21
    opened(Task(dataset=other, teacher=teacher, query_prompt="ba "))  # other texts to the model
    assert teacher.read > 21


def spoken(folder: Path) -> Dataset:
    """Write pairs whose queries are of two languages, or do not say."""
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(30):
            fields = {} if i % 3 == 2 else {"language": ("nl", "is")[i % 3]}
            writer.add_document(Document(id=f"d{i}", content=f"{WORDS[i]} ga", source="x:1"))
            writer.add_query(
                Query(id=f"q{i}", content=f"{WORDS[i]} {i}", source="x:1", fields=fields)
            )
            origin = Origin(kind="human", source="x:1")
            writer.add_judgment(
                Judgment(
                    query_id=f"q{i}", document_id=f"d{i}", grade=1, origin=origin, split="train"
                )
            )
    return Dataset.open(folder)


def test_a_batch_holds_queries_of_one_value_together(
    tmp_path: Path, dataset: Dataset, opened: Callable[..., Course], learner: TextEncoder
) -> None:
    settings = replace(SETTINGS, together_by="language", epochs=1)
    course = opened(
        Task(dataset=spoken(tmp_path / "d"), query_prompt="ba "), Task(dataset=dataset),
        settings=settings,
    )  # fmt: skip
    known = course.stores[0].known
    place = {int(row): i for i, row in enumerate(np.unique(known.query))}
    met: Counter[int] = Counter()
    for task, pairs in drawn(course):
        if task == 0:
            [language] = {place[query] % 3 for query, _ in pairs}
            met[language] += len(pairs)
    assert met == {0: 10, 1: 10, 2: 10}


def test_a_field_that_no_query_has_is_refused(
    dataset: Dataset, opened: Callable[..., Course]
) -> None:
    with pytest.raises(BadSetting, match="names the field 'language', but no training query"):
        opened(Task(dataset=dataset), settings=replace(SETTINGS, together_by="language"))
