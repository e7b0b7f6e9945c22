"""Teaching what was taught: kept scores stay with their teacher, grades are given afresh."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flat_angles import Line
from school import JUDGED, TEXTS, Judged, NumberReranker, as_it_is, judgments, number, school
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.records import Judgment
from nearfar.teaching.settings import Teaching
from nearfar.teaching.teach import Run, teach

OWN = Run(calibration=as_it_is())
OTHERS = Run(calibration=as_it_is("b" * 16))


class Generous(NumberReranker):
    """Takes nearly everything for an answer, and one wrong document for the best."""

    def score_pairs(self, queries, documents, pairs, **_) -> Tensor:  # type: ignore[no-untyped-def]
        self.scored += [(queries[q], documents[d]) for q, d in pairs.tolist()]
        return torch.tensor([5.0 + (number(documents[d]) > 5) for _, d in pairs.tolist()])


@pytest.mark.parametrize("what", ["exclude", "answer"])
def test_a_better_teacher_undoes_what_another_did(what: str, tmp_path: Path) -> None:
    judged: list[Judged] = [*JUDGED, ("q", "best", 0, "train", "mined")]
    data = school(tmp_path / "data", TEXTS | {"best": "a 0"}, judged)
    settings = Teaching(false_negatives=what)  # type: ignore[arg-type]
    teach(Generous("b" * 16), data, tmp_path / "first", settings, OTHERS)
    first = judgments(tmp_path / "first")
    assert {one.origin.kind for one in first.values()} == {"human", "taught"}
    assert first["q", "far"].grade == 1 if what == "answer" else math.isnan(first["q", "far"].grade)
    teach(NumberReranker(), Dataset.open(tmp_path / "first"), tmp_path / "second", settings, OWN)
    teach(NumberReranker(), data, tmp_path / "at once", settings, OWN)
    second, want = judgments(tmp_path / "second"), judgments(tmp_path / "at once")
    assert second["q", "far"].grade == 0
    assert second["q", "far"].origin.kind == "mined"
    assert comparable(second) == comparable(want)


def test_nothing_that_another_teacher_said_is_left(tmp_path: Path) -> None:
    judged: list[Judged] = [JUDGED[0], ("q", "best", 0, "train", "mined")]
    data = school(tmp_path / "data", TEXTS | {"best": "a 0"}, judged)
    teach(Generous("b" * 16), data, tmp_path / "first", run=OTHERS)
    assert "probability" in judgments(tmp_path / "first")["q", "best"].origin.facts
    teach(NumberReranker(), Dataset.open(tmp_path / "first"), tmp_path / "second")
    best = judgments(tmp_path / "second")["q", "best"].origin
    assert dict(best.facts) == {
        "score": 0.5, "teacher": "a" * 16, "verdict": "answer", "teacher_answer_score": 3.0,
        "was": "mined", "was_by": "someone", "was_at": "2026-01-01",
    }  # fmt: skip
    assert "aaaa" in best.by


def comparable(found: dict[tuple[str, str], Judgment]) -> dict[tuple[str, str], str]:
    return {pair: repr(replace(one, origin=replace(one.origin, facts=dict(sorted(
        one.origin.facts.items()))))) for pair, one in found.items()}  # fmt: skip


def test_a_candidate_of_a_teacher_is_graded_afresh_too(tmp_path: Path) -> None:
    documents = {"answer": "an answer 0", "near": "a 0.5", "wrong": "c 6"}
    data = school(tmp_path / "data", documents, [("q", "answer", 1, "train", "human")])
    settings = Teaching(false_negatives="answer")
    run = replace(OTHERS, encoder=Line())
    teach(Generous("b" * 16), data, tmp_path / "first", settings, run)
    assert {one.grade for one in judgments(tmp_path / "first").values()} == {1.0}
    teach(NumberReranker(), Dataset.open(tmp_path / "first"), tmp_path / "second", settings, OWN)
    second = judgments(tmp_path / "second")
    assert second["q", "wrong"].grade == 0
    assert math.isnan(second["q", "near"].grade)  # no longer its own reference
    assert second["q", "wrong"].origin.facts["rank"] == 3
    assert second["q", "wrong"].origin.facts["teacher"] == "a" * 16
    assert second["q", "wrong"].origin.facts["teacher_answer_score"] == 3
    taught = Teaching(regraded=("mined",))
    teach(NumberReranker(), Dataset.open(tmp_path / "first"), tmp_path / "third", taught, OWN)
    assert judgments(tmp_path / "third")["q", "wrong"].grade == 1  # it was told to leave it


def test_a_kept_score_is_neither_asked_for_nor_claimed(tmp_path: Path) -> None:
    judged: list[Judged] = [*JUDGED, ("q", "new", 0, "train", "mined")]
    data = school(tmp_path / "data", TEXTS | {"new": "b 8"}, judged,
                  scores={("q", "answer"): 70.0, ("q", "near"): 60.0})  # fmt: skip
    reranker = NumberReranker()
    found = teach(reranker, data, tmp_path / "new", Teaching(scores="keep"), OWN)
    assert {pair[1] for pair in reranker.scored} == {"two 3", "three 9", "b 8"}
    assert (found.pairs, found.kept, found.left, found.new_scores) == (3, 2, 0, 3)
    new = judgments(tmp_path / "new")
    assert (new["q", "answer"].score, new["q", "near"].score) == (70, 60)
    for name in ("answer", "near"):
        assert "teacher" not in new["q", name].origin.facts
    unsure = new["q", "unsure"].origin.facts
    assert unsure["teacher"] == "a" * 16
    assert "teacher_answer_score" not in unsure  # 70 is on another scale
    assert new["q", "new"].grade == 0


def test_kept_scores_of_the_same_teacher_are_its_own(tmp_path: Path) -> None:
    data = school(tmp_path / "data", TEXTS, JUDGED)
    teach(NumberReranker(), data, tmp_path / "first", Teaching(unsure="keep"), OWN)
    judged: list[Judged] = [("q", "new", 0, "train", "mined")]
    # The same judgments with their scores, and one more without.
    more = school(tmp_path / "more", TEXTS | {"new": "b 3"}, judged)
    both = merged(tmp_path / "both", Dataset.open(tmp_path / "first"), more)
    reranker = NumberReranker()
    teach(reranker, both, tmp_path / "new", Teaching(scores="keep"), OWN)
    assert reranker.scored == [("ask 0", "b 3")]
    assert judgments(tmp_path / "new")["q", "new"].origin.facts["teacher_answer_score"] == 3


def merged(folder: Path, *parts: Dataset) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for document in parts[-1].documents():
            writer.add_document(document)
        for query in parts[-1].queries():
            writer.add_query(query)
        for part in parts:
            for judgment in part.judgments():
                writer.add_judgment(judgment)
    return Dataset.open(folder)


def test_agreement_is_that_of_this_teacher(tmp_path: Path) -> None:
    """Scores of before say the opposite of people; this teacher says what they say."""
    documents = {f"d{i}": f"text {i}" for i in range(60)}
    queries = {f"q{i}": f"ask {i}" for i in range(24)}
    judged: list[Judged] = []
    for i in range(24):
        judged += [(f"q{i}", f"d{i}", 1, "train", "human"),
                   (f"q{i}", f"d{i + 9}", 0, "train", "human")]  # fmt: skip
    scores = {(f"q{i}", f"d{i + k}"): float(k) for i in range(12) for k in (0, 9)}
    data = school(tmp_path / "data", documents, judged, queries=queries, scores=scores)
    run = replace(OWN, least_agreement=0.4)
    found = teach(NumberReranker(), data, tmp_path / "new", Teaching(scores="keep"), run)
    assert found.agreement is not None
    assert (found.agreement.pairs, found.agreement.number) == (24, 1)


def test_keeping_is_refused_where_scores_would_not_fit_together(tmp_path: Path) -> None:
    data = school(tmp_path / "data", TEXTS, JUDGED, scores={("q", "answer"): 7.0})
    keep = Teaching(scores="keep")
    with pytest.raises(BadSetting, match="must be replace with an encoder"):
        teach(NumberReranker(), data, tmp_path / "new", keep, Run(encoder=Line()))
    teach(NumberReranker(), data, tmp_path / "once", Teaching())
    with pytest.raises(BadRecord, match="All have a score"):
        teach(NumberReranker(), Dataset.open(tmp_path / "once"), tmp_path / "new", keep)
    assert not (tmp_path / "new").exists()


def test_what_a_query_was_written_for_is_not_for_a_teacher_to_take(tmp_path: Path) -> None:
    judged: list[Judged] = [
        ("q", "far", 1, "train", "synthetic"),
        ("q", "answer", 1, "train", "human"),
    ]
    data = school(tmp_path / "data", TEXTS, judged)
    found = teach(NumberReranker(), data, tmp_path / "new", run=OWN)
    assert judgments(tmp_path / "new")["q", "far"].grade == 1
    assert found.became["answers doubted"] == 1
    assert "synthetic" not in Teaching().regraded
