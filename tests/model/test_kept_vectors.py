"""Vectors of a dataset are kept where they can be, and a place that cannot is said."""

from pathlib import Path

import numpy as np
import pytest
from doubles import LetterEncoder
from tiny import tiny_dataset

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile
from nearfar.model.kept_vectors import document_vectors
from nearfar.progress import silent


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("kept") / "d"
    tiny_dataset(folder)
    return Dataset.open(folder)


def test_vectors_are_made_once_and_are_the_encoders(dataset: Dataset, tmp_path: Path) -> None:
    made = document_vectors(LetterEncoder(), dataset, "these", tmp_path / "new" / "c", silent)
    texts = [one.content for one in dataset.documents()]
    np.testing.assert_allclose(made, LetterEncoder().encode(texts, "document"), atol=1e-6)

    class Asleep(LetterEncoder):
        def encode(self, *words: object, **more: object) -> None:  # type: ignore[override]
            raise AssertionError("they were there already")

    again = document_vectors(Asleep(), dataset, "these", tmp_path / "new" / "c", silent)
    assert again.equal(made)


def test_a_cache_that_cannot_be_made_is_one_message(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadFile, match=r"cannot keep vectors there .*Name another folder"):
            document_vectors(LetterEncoder(), dataset, "these", folder, silent)


@pytest.mark.parametrize("left", [0, 5, 200])
def test_vectors_cut_short_are_one_message(left: int, dataset: Dataset, tmp_path: Path) -> None:
    document_vectors(LetterEncoder(), dataset, "these", tmp_path, silent)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(BadFile, match="it is made again"):
        document_vectors(LetterEncoder(), dataset, "these", tmp_path, silent)
