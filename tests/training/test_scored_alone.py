"""A pair that a teacher scored and that is called neither: its score is learned, nothing else."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar.data.check import check_dataset
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadRecord
from nearfar.evaluation.embedded import read_task
from nearfar.losses import Edges, RerankingLossSettings, build_reranking_loss
from nearfar.losses.distillation import listwise_kl, margin_mse
from nearfar.losses.infonce import infonce
from nearfar.mining.known import read_known
from nearfar.model.text import TextEncoder
from nearfar.records import Document, Judgment, Origin, Query, Split
from nearfar.training.batches import Batches
from nearfar.training.known import settle
from nearfar.training.settings import Training
from nearfar.training.store import open_store

NEITHER = math.nan
Row = tuple[str, str, float, Split, float | None]


def written(folder: Path, rows: list[Row]) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for name in ("a", "b", "c", "d"):
            writer.add_document(Document(id=name, content=f"ba{name} da {name}"))
            writer.add_query(Query(id=name, content=f"ga {name}"))
        for query, document, grade, split, score in rows:
            origin = Origin(kind="taught", source=f"{query} {document}")
            writer.add_judgment(
                Judgment(query_id=query, document_id=document, grade=grade, origin=origin,
                         split=split, score=score)
            )  # fmt: skip
    return Dataset.open(folder)


ROWS: list[Row] = [
    ("a", "a", 1, "train", 4.0), ("a", "b", NEITHER, "train", 3.0), ("a", "c", 0, "train", -2.0),
    ("b", "b", 1, "train", 5.0), ("c", "c", 1, "test", None), ("c", "d", NEITHER, "test", 1.0),
]  # fmt: skip


def test_it_comes_back_from_disk_and_takes_part_in_no_measure(tmp_path: Path) -> None:
    dataset = written(tmp_path / "d", ROWS)
    again = {(one.query_id, one.document_id): one for one in dataset.judgments()}
    assert math.isnan(again["a", "b"].grade)
    assert again["a", "b"].score == 3
    assert dataset.table("judgments", ["grade"])["grade"].null_count == 2
    assert dataset.digest != written(tmp_path / "e", ROWS[:1] + ROWS[2:]).digest
    assert read_task(dataset, "test").judged == {"c": {"c": 1}}
    found = check_dataset(dataset, count_tokens=None, max_tokens=None, cohorts=None)
    assert not [one for one in found.findings if one.severity == "error" and one.count]


def test_without_a_score_it_says_nothing_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="a grade must be a number"):
        written(tmp_path / "d", [("a", "b", NEITHER, "train", None)])


def test_its_query_is_still_mined_for_and_it_is_never_a_negative(tmp_path: Path) -> None:
    known = read_known(written(tmp_path / "d", ROWS))
    assert known.mined_for == {"a", "b"}
    assert known.judged["a"] == {0, 1, 2}
    assert known.own_answers["a"] == {0}


@pytest.mark.parametrize(
    ("grades", "trains", "expected"),
    [
        ([NEITHER], [True], NEITHER),
        ([1.0, NEITHER], [True, True], 1.0),  # what somebody judged stands
        ([NEITHER, 0.0], [True, True], 0.0),
        ([NEITHER, 1.0], [True, False], NEITHER),
    ],
)
def test_what_is_known_of_a_pair(grades: list[float], trains: list[bool], expected: float) -> None:
    count = len(grades)
    found = settle(
        np.zeros(count, int), np.zeros(count, int), np.array(grades), np.array(trains), rows=1,
        scores=np.array([2.0] * count),
    )  # fmt: skip
    np.testing.assert_equal(found.grade, [expected])
    leaks = 1.0 in [g for g, train in zip(grades, trains, strict=True) if not train]
    np.testing.assert_equal(found.score, [np.nan if leaks else 2.0])


def test_a_batch_carries_its_score_beside_what_is_excluded(
    learner: TextEncoder, tmp_path: Path
) -> None:
    store = open_store(tmp_path, written(tmp_path / "d", ROWS), learner.tokens)
    batch = Batches(store, Training(pairs_per_step=4), scored=True, negatives_unless_said=8)[0]
    assert batch.pairs == 2  # queries, each with the best of its documents; the others join it
    edges = batch.edges
    assert edges.score is not None
    assert edges.excluded is not None
    found = dict(zip(edges.score.tolist(), edges.allowed.tolist(), strict=True))
    assert found == {4.0: True, 3.0: False, -2.0: True, 5.0: True}
    assert edges.grade[edges.score == 3.0].item() == 0
    assert len(edges.excluded) == 1


def test_losses_of_scores_learn_it_and_no_other_does() -> None:
    torch.manual_seed(0)
    queries, documents = torch.randn(1, 8), torch.randn(3, 8, requires_grad=True)
    excluded = torch.tensor([[0, 1]])
    zeros = torch.zeros(3, dtype=torch.long)
    edges = Edges(zeros, torch.arange(3), torch.tensor([1.0, 0, 0]), excluded=excluded,
                  score=torch.tensor([4.0, 3.0, -2.0]))  # fmt: skip
    for loss, learned in ((margin_mse, True), (listwise_kl, True), (infonce, False)):
        documents.grad = None
        loss(queries, documents, edges).backward()
        assert documents.grad is not None
        assert bool(documents.grad[1].any()) is learned, loss
    logits = torch.tensor([1.0, 0.5, 0.0], requires_grad=True)
    for name, learned in (("margin_mse", True), ("adr_mse", True), ("listwise_kl", True),
                          ("binary_cross_entropy", False), ("ranknet", False)):  # fmt: skip
        logits.grad = None
        build_reranking_loss(RerankingLossSettings(name=name))(logits, edges).backward()
        assert logits.grad is not None
        assert bool(logits.grad[1]) is learned, name
