"""A mined negative is hard, and is not an answer in disguise."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from flat_world import ANSWER, FAR, LEARN, Angles, Judged, mined, world
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.mining.negatives import mine_negatives
from nearfar.mining.settings import Mining
from nearfar.mining.summary import MiningSummary
from nearfar.progress import Progress, silent
from nearfar.records import Role, Split


def mine(tmp_path: Path, dataset: Dataset, **settings: float) -> tuple[list[str], MiningSummary]:
    """Return the negatives of the query "q", in their order."""
    summary = mine_negatives(Angles(), dataset, tmp_path / "mined", Mining(**settings))  # type: ignore[arg-type]
    return [document for query, document in mined(tmp_path / "mined") if query == "q"], summary


def test_the_hardest_safe_ones_are_taken_in_their_order(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    found, summary = mine(tmp_path, dataset)
    assert found == ["n40", "n50", "n60", "n70"]
    assert (summary.queries, summary.queries_with_none, summary.negatives) == (1, 0, 4)
    assert summary.documents_kept_back == 0
    assert summary.refused == {"an answer": 1}


def test_it_looks_no_deeper_than_told(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    assert mine(tmp_path, dataset, depth=3)[0] == ["n40", "n50"]


def test_a_document_above_the_margin_may_be_an_answer_and_is_left(tmp_path: Path) -> None:
    documents = FAR | ANSWER | {"above": "high -26", "below": "low -27.5"}
    dataset = world(tmp_path / "data", documents, LEARN)
    found, summary = mine(tmp_path, dataset)
    assert found == ["below", "n40", "n50", "n60"]
    assert summary.refused["too close to the answer's score"] == 1


def test_the_margin_points_down_where_the_score_is_below_zero(tmp_path: Path) -> None:
    # cos 120 = -0.5: the ceiling is -0.525, not -0.475.
    documents = {"answer": "an answer 120", "above": "high -121", "below": "low -122"}
    dataset = world(tmp_path / "data", documents, LEARN)
    assert mine(tmp_path, dataset)[0] == ["below"]


def test_a_negative_lies_below_all_answers_of_its_query(tmp_path: Path) -> None:
    documents = FAR | ANSWER | {"second": "another -62"}
    dataset = world(tmp_path / "data", documents, [*LEARN, ("q", "second", 1, "train")])
    assert mine(tmp_path, dataset)[0] == ["n70", "n80"]


def test_a_near_duplicate_of_an_answer_is_left(tmp_path: Path) -> None:
    documents = FAR | ANSWER | {"twin": "nearly the answer 31", "cousin": "less so 32"}
    dataset = world(tmp_path / "data", documents, LEARN)
    found, summary = mine(tmp_path, dataset)
    assert found == ["cousin", "n40", "n50", "n60"]
    assert summary.refused["a near-duplicate of an answer"] == 1


def test_the_rule_of_near_duplicates_can_be_turned_off(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER | {"twin": "nearly 31"}, LEARN)
    assert mine(tmp_path, dataset, near_duplicate_cosine=1.1)[0][0] == "twin"


class Forgetful(Angles):
    """Sees a text written in capitals elsewhere, as models do."""

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        moved = [text.replace("OTHER 20", "35").replace("ASK 0", "35") for text in contents]
        return super().encode(moved, role)


def test_the_text_of_an_answer_under_another_id_is_left(tmp_path: Path) -> None:
    documents = FAR | {"answer": "an other 20", "again": "An  OTHER 20"}
    dataset = world(tmp_path / "data", documents, LEARN)
    summary = mine_negatives(Forgetful(), dataset, tmp_path / "mined")
    assert ("q", "again") not in mined(tmp_path / "mined")
    assert summary.refused["the text of an answer"] == 1


def test_the_text_of_the_query_itself_is_left(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER | {"echo": "ASK 0"}, LEARN)
    summary = mine_negatives(Forgetful(), dataset, tmp_path / "mined")
    assert ("q", "echo") not in mined(tmp_path / "mined")
    assert summary.refused["the text of the query"] == 1


def test_what_is_judged_already_is_not_judged_again(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, [*LEARN, ("q", "n40", 0, "train")])
    found, summary = mine(tmp_path, dataset)
    assert found == ["n50", "n60", "n70", "n80"]
    assert summary.refused["judged already"] == 1


@pytest.mark.parametrize("grades", [(0, 1), (1, 0)])
def test_an_answer_for_one_judge_is_an_answer_whatever_another_says(
    grades: tuple[float, float], tmp_path: Path
) -> None:
    judged: list[Judged] = [("q", "answer", grade, "train") for grade in grades]
    dataset = world(tmp_path / "data", FAR | ANSWER, judged)
    assert mine(tmp_path, dataset)[0] == ["n40", "n50", "n60", "n70"]


@pytest.mark.parametrize("split", ["train", "aside"])
def test_an_answer_to_the_same_question_under_another_id_is_left(
    split: Split, tmp_path: Path
) -> None:
    queries = {"q": "ask 0", "same": "Ask  0", "more": "else 40"}
    judged: list[Judged] = [*LEARN, ("same", "n40", 1, split), ("more", "n40", 1, "train")]
    dataset = world(tmp_path / "data", FAR | ANSWER, judged, queries=queries)
    found, summary = mine(tmp_path, dataset, near_duplicate_cosine=1.1)
    assert found == ["n50", "n60", "n70", "n80"]
    assert summary.documents_kept_back == 0


@pytest.mark.parametrize("split", ["dev", "test"])
def test_an_answer_of_dev_or_test_never_becomes_training_material(
    split: Split, tmp_path: Path
) -> None:
    queries = {"q": "ask 0", "exam": "else 50"}
    # n50 is an answer that measures; n40 shares its page; n70 is only judged to be none.
    judged: list[Judged] = [*LEARN, ("exam", "n50", 1, split), ("exam", "n70", 0, split)]
    groups = {"n40": "page", "n50": "page"}
    dataset = world(tmp_path / "data", FAR | ANSWER, judged, queries=queries, groups=groups)
    found, summary = mine(tmp_path, dataset)
    assert found == ["n60", "n70", "n80"]
    assert summary.documents_kept_back == 2


@pytest.mark.parametrize("split", ["dev", "test"])
def test_nor_does_its_text_under_another_id(split: Split, tmp_path: Path) -> None:
    queries = {"q": "ask 0", "exam": "else 50"}
    judged: list[Judged] = [*LEARN, ("exam", "n50", 1, split)]
    documents = FAR | ANSWER | {"twin": "TWO  50"}  # of n50
    dataset = world(tmp_path / "data", documents, judged, queries=queries)
    found, summary = mine(tmp_path, dataset)
    assert found == ["n40", "n60", "n70", "n80"]
    assert summary.documents_kept_back == 2


def test_an_answer_that_is_aside_is_free_only_if_it_also_trains(tmp_path: Path) -> None:
    queries = {"q": "ask 0", "both": "else 50", "more": "else 45"}
    judged: list[Judged] = [
        *LEARN,
        ("both", "n40", 1, "aside"),
        ("both", "n50", 1, "aside"),
        ("more", "n50", 1, "train"),
    ]
    dataset = world(tmp_path / "data", FAR | ANSWER, judged, queries=queries)
    assert mine(tmp_path, dataset)[0] == ["n50", "n60", "n70", "n80"]


@pytest.mark.parametrize("split", ["dev", "test", "aside"])
def test_only_queries_that_do_nothing_but_train_are_mined_for(split: Split, tmp_path: Path) -> None:
    queries = {"q": "ask 0", "exam": "else 10", "mixed": "else 11", "mute": "else 12"}
    documents = FAR | ANSWER | {"other": "its own 200", "third": "its own 201"}
    judged: list[Judged] = [
        *LEARN,
        ("exam", "other", 1, split),
        ("mixed", "answer", 1, "train"),
        ("mixed", "third", 1, split),
        ("mute", "n80", 0, "train"),
    ]
    dataset = world(tmp_path / "data", documents, judged, queries=queries)
    _, summary = mine(tmp_path, dataset)
    assert {query for query, _ in mined(tmp_path / "mined")} == {"q"}
    assert summary.queries == 1


def test_a_query_without_a_safe_negative_gets_none_and_is_counted(tmp_path: Path) -> None:
    documents = ANSWER | {"above": "high -10"}
    found, summary = mine(tmp_path, world(tmp_path / "data", documents, LEARN))
    assert found == []
    assert (summary.queries, summary.queries_with_none, summary.negatives) == (1, 1, 0)
