"""A task: who asks, who may be found, and what counts as right."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from asked import Judged, asked
from doubles import LetterEncoder
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadRecord
from nearfar.evaluation.embedded import dev_scores, embed, never_wrong, rankings, read_task
from nearfar.evaluation.judged_pairs import given_grades, read_judged_pairs
from nearfar.records import Role

TEXTS = {f"d{i}": "abcdefghij"[i] * 3 for i in range(10)}
JUDGED: list[Judged] = [
    ("q0", "d0", 1, "test"),
    ("q0", "d1", 0, "test"),
    ("q0", "d2", 3, "train"),
    ("q1", "d3", 2, "dev"),
    ("q2", "d4", 0, "test"),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return asked(tmp_path / "d", TEXTS, {"q0": "a", "q1": "d", "q2": "e"}, JUDGED)


def test_judgments_of_other_splits_do_not_count(dataset: Dataset) -> None:
    task = read_task(dataset, "test")
    assert task.judged == {"q0": {"d0": 1, "d1": 0}}
    assert [query.id for query in task.queries] == ["q0"]


def test_every_document_is_a_candidate_whatever_its_split(dataset: Dataset) -> None:
    task = read_task(dataset, "test")
    assert task.document_ids == tuple(TEXTS)
    assert [task.row_of[id_] for id_ in TEXTS] == list(range(10))
    found = rankings(embed(LetterEncoder(), dataset, task), 100)
    assert set(found["q0"]) == set(TEXTS)
    assert found["q0"][0] == "d0"


def test_a_query_without_an_answer_is_counted(dataset: Dataset) -> None:
    assert read_task(dataset, "test").without_answer == 1
    assert read_task(dataset, "dev").without_answer == 0


@pytest.mark.parametrize("grades", [(2, 0), (0, 2)])
def test_the_better_of_two_grades_of_a_pair_counts_in_every_task(
    tmp_path: Path, grades: tuple[float, float]
) -> None:
    judged: list[Judged] = [("q", "d0", grade, "test") for grade in grades]
    dataset = asked(tmp_path / "d", TEXTS, {"q": "a"}, judged)
    assert given_grades(dataset, "test") == {("q", "d0"): (2, "human")}
    assert read_task(dataset, "test").judged == {"q": {"d0": 2}}
    assert read_judged_pairs(dataset, "test").grades.tolist() == [2]


def test_a_split_without_answers_is_named_with_what_there_is(tmp_path: Path) -> None:
    dataset = asked(tmp_path / "d", TEXTS, {"q1": "d"}, [("q1", "d3", 2, "dev")])
    with pytest.raises(BadRecord, match=r"in the test split, found \{'dev': .* Import more"):
        read_task(dataset, "test")


def test_vectors_stand_in_the_rows_that_the_task_gives(dataset: Dataset) -> None:
    task = read_task(dataset, "test", documents=4)
    encoder = LetterEncoder()
    found = embed(encoder, dataset, task).documents
    expected = encoder.encode([TEXTS[id_] for id_ in task.document_ids], "document")
    assert len(found) == 4
    assert found.equal(expected)


def test_too_few_documents_asked_for_still_hold_all_that_is_judged(dataset: Dataset) -> None:
    assert set(read_task(dataset, "test", documents=1).document_ids) == {"d0", "d1"}


def test_a_part_of_the_documents_does_not_depend_on_their_order(tmp_path: Path) -> None:
    turned = dict(reversed(TEXTS.items()))
    parts = [
        read_task(asked(tmp_path / name, texts, {"q0": "a"}, JUDGED[:3]), "test", documents=6)
        for name, texts in (("one", TEXTS), ("two", turned))
    ]
    assert set(parts[0].document_ids) == set(parts[1].document_ids)


def test_a_quick_look_is_the_mean_over_queries(tmp_path: Path) -> None:
    judged: list[Judged] = [("q0", "d0", 1, "dev"), ("q1", "d9", 1, "dev")]
    dataset = asked(tmp_path / "d", TEXTS, {"q0": "a", "q1": "aaab"}, judged)
    found = dev_scores(LetterEncoder(), dataset, read_task(dataset, "dev"))
    assert found["mrr_at_10_score"] == pytest.approx((1 + 1 / 10) / 2)  # ties keep their order
    assert found["recall_at_10_score"] == 1


def test_what_is_called_neither_can_be_found_and_is_not_judged(tmp_path: Path) -> None:
    judged: list[Judged] = [("q0", "d1", 2, "test"), ("q0", "d0", math.nan, "test"),
                            ("q1", "d3", math.nan, "test")]  # fmt: skip
    dataset = asked(tmp_path / "d", TEXTS, {"q0": "a", "q1": "d"}, judged)
    task = read_task(dataset, "test")
    assert task.judged == {"q0": {"d1": 2}}
    assert task.without_answer == 0  # nobody judged the other query
    found = dev_scores(LetterEncoder(), dataset, task)
    assert found["mrr_at_10_score"] == 0.5  # the document that is nearest keeps its place
    assert found["ndcg_at_10_score"] == pytest.approx(1 / math.log2(3))


def test_who_must_not_be_held_against_a_model(tmp_path: Path) -> None:
    judged: list[Judged] = [
        ("q0", "d0", 1, "test"), ("q0", "d1", math.nan, "test"), ("q0", "d2", 3, "train"),
        ("q0", "d3", math.nan, "test"), ("q0", "d3", 0, "test"), ("q0", "d4", 0, "test"),
        ("q1", "d5", 1, "dev"),
    ]  # fmt: skip
    dataset = asked(tmp_path / "d", TEXTS, {"q0": "a", "q1": "d"}, judged)
    assert never_wrong(dataset, read_task(dataset, "test")) == {"q0": {"d0", "d1", "d2"}}


def test_vectors_that_are_no_numbers_name_the_text(dataset: Dataset) -> None:
    class Broken(LetterEncoder):
        def encode(self, contents: Sequence[str], role: Role, **more: object) -> Tensor:
            found = super().encode(contents, role)
            return found if role == "query" else found.index_fill(0, torch.tensor([2]), torch.inf)

    task = read_task(dataset, "test")
    texts = list(TEXTS.values())
    with pytest.raises(BadModel, match=f"in 1 of {len(texts)} vectors, the first of {texts[2]!r}"):
        embed(Broken(), dataset, task)
