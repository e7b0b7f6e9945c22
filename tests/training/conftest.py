"""The tiny world, made once a session."""

from pathlib import Path

import pytest
from tiny import tiny_bert, tiny_dataset

from nearfar.data.dataset import Dataset
from nearfar.model.text import TextEncoder, TextSettings
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
