"""The margin follows from how often the miner is right about the answers that are known."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from flat_world import Angles, Judged, mined, world

from nearfar.data.dataset import Dataset
from nearfar.mining.negatives import mine_negatives
from nearfar.mining.settings import Mining
from nearfar.mining.summary import MiningSummary
from nearfar.records import Split

EACH = 9.0  # degrees between two questions; the answer of one is no candidate of another's
MANY = 40


def tried(
    folder: Path, right: int, queries: int = MANY, dev_right: int | None = None
) -> tuple[Dataset, MiningSummary]:
    """Mine where the miner puts the answer of so many questions first, and another of the rest."""
    documents: dict[str, str] = {}
    asked: dict[str, str] = {}
    judged: list[Judged] = []
    splits: list[tuple[Split, int]] = [("train", right)]
    if dev_right is not None:
        splits.append(("dev", dev_right))
    for split, good in splits:
        for i in range(queries):
            at = EACH * i + (4.5 if split == "dev" else 0.0)
            near, far = (1.0, 2.0) if i < good else (2.0, 1.0)
            asked[f"{split}{i}"] = f"{split} {i} {at}"
            documents[f"{split}-answer{i}"] = f"the answer {split} {i} {at + near}"
            documents[f"{split}-other{i}"] = f"another {split} {i} {at + far}"
            judged.append((f"{split}{i}", f"{split}-answer{i}", 1, split))
    dataset = world(folder / "data", documents, judged, queries=asked)
    settings = Mining(near_duplicate_cosine=1.1, negatives_per_query=1)
    found = mine_negatives(Angles(), dataset, folder / "mined", settings)
    return Dataset.open(folder / "mined"), found


def test_a_miner_that_is_mostly_right_is_believed(tmp_path: Path) -> None:
    _, found = tried(tmp_path, right=20)
    assert (found.trust.margin, found.trust.answers_first, found.trust.queries) == (0.05, 0.5, 40)
    assert found.audit.share_above_answer == 0
    assert "first for 50% of 40 queries" in found.sentences()[0]
    assert "a margin of 0.05 is kept" in found.sentences()[0]


def test_what_a_weak_miner_ranks_above_an_answer_is_a_negative(tmp_path: Path) -> None:
    dataset, found = tried(tmp_path, right=19)
    assert found.trust.margin is None
    assert found.audit.share_above_answer == pytest.approx(21 / 40)
    assert ("train39", "train-other39") in mined(dataset.folder)
    assert "no margin is kept (mining.relative_margin = 0.05 keeps one)" in found.sentences()[0]
    kept = dataset.manifest["parents"][0]["mined_with"]
    assert kept["relative_margin"] is None
    assert kept["answers_first"] == pytest.approx(19 / 40)


@pytest.mark.parametrize(("dev_right", "margin"), [(MANY, 0.05), (0, None)])
def test_the_queries_of_dev_decide_where_there_are_enough(
    tmp_path: Path, dev_right: int, margin: float | None
) -> None:
    _, found = tried(tmp_path, right=MANY - dev_right, dev_right=dev_right)
    assert found.trust.margin == margin


def test_a_few_queries_decide_nothing(tmp_path: Path) -> None:
    _, found = tried(tmp_path, right=0, queries=29)
    assert found.trust.margin == 0.05
    assert found.trust.answers_first is None
    assert found.sentences() == found.audit.sentences()


def test_a_margin_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    dataset, _ = tried(tmp_path, right=0)
    for margin in (0.05, None):
        settings = Mining(relative_margin=margin)
        found = mine_negatives(Angles(), dataset, tmp_path / "again", settings, replace=True)
        assert found.trust.margin == margin
        assert found.trust.answers_first is None


def test_the_summary_can_be_kept(tmp_path: Path) -> None:
    _, found = tried(tmp_path, right=20)
    assert json.loads(json.dumps(asdict(found)))["trust"]["answers_first"] == 0.5
