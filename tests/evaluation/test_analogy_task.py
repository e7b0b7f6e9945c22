"""Whether the step from a language to another leads from one text to its translation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from doubles import LETTERS, LetterEncoder
from task_data import WORDS, Pair, written
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.evaluation.task_scores import compare_tasks
from nearfar.evaluation.tasks import evaluate_task
from nearfar.progress import Progress, silent
from nearfar.records import Role


class StepEncoder:
    """A text is a meaning and a language, "de apple": each has a vector, and they are added."""

    space = replace(LETTERS, weights="steps", dim=48)

    def __init__(self, step: float) -> None:
        self.step = step

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        dice = torch.Generator().manual_seed(0)
        meanings = dict(zip(WORDS, torch.randn(len(WORDS), 48, generator=dice), strict=True))
        languages = dict(zip(("de", "en", "fr"), torch.randn(3, 48, generator=dice), strict=True))
        return torch.stack([meanings[word] + self.step * languages[language]
                            for language, word in map(str.split, contents)])  # fmt: skip


def translated(folder: Path, languages: Sequence[str], words: int = 20) -> Dataset:
    pairs: list[Pair] = [(f"{one} {word}", f"en {word}", 1.0, "test")
                         for one in languages for word in WORDS[:words]]  # fmt: skip
    fields = {text: {"lang": text.split()[0]} for pair in pairs for text in pair[:2]}
    return written(folder, pairs, kind="translation", fields=fields)


def test_a_step_that_all_pairs_share_is_found_and_its_absence_too(tmp_path: Path) -> None:
    dataset = translated(tmp_path / "d", ("de", "fr"))
    found = evaluate_task(StepEncoder(3.0), dataset, "test", "analogies")
    means = {measure.name: measure.base.mean for measure in compare_tasks(found)}
    # The languages lie so far apart that the nearest text of another meaning is no translation.
    assert means == {"analogy_accuracy_score": 1.0, "analogy_without_step_score": 0.0}
    assert found.facts == {"analogies": 2 * 20 * 19, "texts": 60, "relations": 2}
    assert found.scores.queries[0] == "de apple en apple"
    assert len(found.scores.queries) == 40
    assert found.scores.cohorts["query.lang"].count("fr") == 20
    both = translated(tmp_path / "e", ("de",))  # whose meanings lie in one place, in either
    near = evaluate_task(StepEncoder(0.0), both, "test", "analogies")
    assert {float(values.mean()) for values in near.scores.values.values()} == {1.0}


def test_a_translation_without_another_of_its_languages_is_no_question(tmp_path: Path) -> None:
    pairs: list[Pair] = [(f"{one} apple", f"{one} pear", 1.0, "test") for one in ("de", "fr")]
    fields = {text: {"lang": text.split()[0]} for pair in pairs for text in pair[:2]}
    dataset = written(tmp_path / "d", pairs, kind="translation", fields=fields)
    with pytest.raises(BadRecord, match=r"two languages \(field 'lang'\), found 2 between 2"):
        evaluate_task(LetterEncoder(), dataset, "test", "analogies")
