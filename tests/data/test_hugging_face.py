"""Folders that 🤗 datasets itself wrote are read without it."""

from pathlib import Path

import pytest

from nearfar.data.pairs import PairsReader
from nearfar.data.rows import files_of_rows, read_rows
from nearfar.errors import BadFile
from nearfar.records import Judgment

datasets = pytest.importorskip("datasets")

ROWS = [{"anchor": f"q{i}", "positive": f"p{i}", "negatives": ["n", "m"]} for i in range(25)]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def test_a_dataset_in_several_files_keeps_its_order(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "set", num_shards=3)
    rows = list(read_rows(tmp_path / "set"))
    assert [row.values for row in rows] == ROWS
    assert rows[0].where == "data-00000-of-00003.arrow:row 1"
    assert len(files_of_rows(tmp_path / "set")) == 3


def test_rows_that_were_chosen_and_shuffled_are_read_as_they_were_saved(tmp_path: Path) -> None:
    chosen = datasets.Dataset.from_list(ROWS).shuffle(seed=1).select(range(7))
    chosen.save_to_disk(tmp_path / "set")
    assert [row.values for row in read_rows(tmp_path / "set")] == chosen.to_list()


def test_the_parts_of_a_dictionary_are_the_splits(tmp_path: Path) -> None:
    parts = {"train": ROWS[:20], "validation": ROWS[20:22], "test": ROWS[22:]}
    datasets.DatasetDict(
        {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}
    ).save_to_disk(tmp_path / "set")
    judged = [r for r in PairsReader(tmp_path / "set").records() if isinstance(r, Judgment)]
    splits = [j.split for j in judged if j.grade > 0]
    assert [splits.count(split) for split in ("train", "dev", "test")] == [20, 2, 3]
    assert judged[0].origin.source == "train/data-00000-of-00001.arrow:row 1"
    assert sum(j.grade == 0 for j in judged) == 50


def test_a_lone_train_part_divides_nothing(tmp_path: Path) -> None:
    lone = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
    lone.save_to_disk(tmp_path / "set")
    reader = PairsReader(tmp_path / "set")
    assert {r.split for r in reader.records() if isinstance(r, Judgment)} == {None}
    assert any("'train' divides nothing" in sentence for sentence in reader.notes.sentences)


def test_class_labels_are_numbers_and_can_be_grades(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "sentence1": datasets.Value("large_string"),
            "sentence2": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["different", "same"]),
        }
    )
    rows = [{"sentence1": "a", "sentence2": "b", "label": label} for label in (1, 0)]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "set")
    records = PairsReader(tmp_path / "set").records()
    assert [r.grade for r in records if isinstance(r, Judgment)] == [1.0, 0.0]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "set")
    path = tmp_path / "set" / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(BadFile, match=r"data-00000-of-00001\.arrow: expected an Arrow file"):
        list(read_rows(tmp_path / "set"))


def test_a_folder_that_lost_its_list_of_files_is_named(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "set")
    (tmp_path / "set" / "state.json").write_text("{}")
    with pytest.raises(BadFile, match=r"state\.json: names no data files"):
        list(read_rows(tmp_path / "set"))
