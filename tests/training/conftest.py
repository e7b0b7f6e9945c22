"""The tiny world, made once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import tiny_bert, tiny_dataset

from nearfar.data.dataset import Dataset
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Course, Task, open_course
from nearfar.training.settings import Training
from nearfar.training.store import TokenStore, open_store


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def learner(bert: Path) -> TextEncoder:
    return TextEncoder.load(bert, TextSettings(precision="float32"))


@pytest.fixture
def store(tmp_path: Path, dataset: Dataset, learner: TextEncoder) -> TokenStore:
    return open_store(tmp_path, dataset, learner.tokens)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from courses import (
        twelve_pairs,  # late: it takes from a test, whose asserts are rewritten first
    )

    return twelve_pairs(tmp_path_factory.mktemp("other") / "d")


@pytest.fixture
def opened(tmp_path: Path, learner: TextEncoder) -> Callable[..., Course]:
    from courses import SETTINGS

    def opened(*tasks: Task, settings: Training = SETTINGS, where: str = "run") -> Course:
        (tmp_path / where).mkdir(exist_ok=True)
        return open_course(tmp_path / where, tasks, settings, learner.tokens)

    return opened
