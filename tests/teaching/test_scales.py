"""Logits have no zero of their own: it is fitted, read, or done without."""

from pathlib import Path

import pytest
import torch
from school import Judged, NumberReranker, as_it_is, judgments, school
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadSetting
from nearfar.model.calibration import calibrate
from nearfar.records import Judgment
from nearfar.teaching.settings import Teaching
from nearfar.teaching.teach import Run, TeachingSummary, teach

LOGITS = {"answer": 15.0, "twin": 12.0, "near": 10.0, "other": 6.0, "far": 2.0}


class Listed(NumberReranker):
    """A reranker trained on lists: its logits say who is first, and have no zero."""

    moved: float = 0.0

    def score_pairs(self, queries, documents, pairs, **_) -> Tensor:  # type: ignore[no-untyped-def]
        wanted = [LOGITS.get(documents[d].split()[0], -8.0) for _, d in pairs.tolist()]
        return torch.tensor(wanted) + self.moved


def world(folder: Path, queries: int, *, extra: int = 0) -> Dataset:
    """Each query has an answer and four mined documents; the first ones also a wrong answer."""
    documents, judged = {"wrong": "mislabelled 0"}, []
    for i in range(queries):
        for name in LOGITS:
            documents[f"{name}{i}"] = f"{name} {i}"
            kind = "human" if name == "answer" else "mined"
            judged.append((f"q{i}", f"{name}{i}", float(name == "answer"), "train", kind))
        if i < extra:
            judged.append((f"q{i}", "wrong", 1.0, "train", "human"))
    asked = {f"q{i}": f"ask {i}" for i in range(queries)}
    return school(folder, documents, judged, queries=asked)


def kept(folder: Path) -> dict[str, int]:
    """How many of the mined documents of each name still have the grade 0."""
    found = [one for one in Dataset.open(folder).judgments() if one.origin.kind == "mined"]
    return {name: sum(name in one.document_id for one in found) for name in LOGITS}


@pytest.mark.parametrize("moved", [0.0, -40.0, 40.0])
def test_high_logits_are_no_reason_for_doubt(moved: float, tmp_path: Path) -> None:
    reranker = Listed()
    reranker.moved = moved
    found = teach(reranker, world(tmp_path / "data", 12), tmp_path / "new")
    assert found.scale is not None
    assert found.scale.fitted_on == "judgments"
    assert kept(tmp_path / "new") == {"answer": 0, "twin": 12, "near": 12, "other": 12, "far": 12}
    assert found.became["answers doubted"] == 0


def test_the_scale_is_that_of_calibrating_on_its_own_judgments(tmp_path: Path) -> None:
    data = world(tmp_path / "data", 12)
    found = teach(Listed(), data, tmp_path / "new")
    logits = torch.tensor([one for one in LOGITS.values() for _ in range(12)])
    want = calibrate(logits, (logits == 15).long(), reranker="r")
    assert found.scale is not None
    assert (found.scale.slope, found.scale.offset) == pytest.approx((want.slope, want.offset))
    one = judgments(tmp_path / "new")["q0", "near0"]
    assert "probability" not in one.origin.facts  # it is what it was: a mined negative
    parent = Dataset.open(tmp_path / "new").manifest["parents"][0]
    assert parent["taught_with"]["scale"]["fitted_on"] == "judgments"


def test_too_few_to_fit_leave_the_gaps(tmp_path: Path) -> None:
    found = teach(Listed(), world(tmp_path / "data", 9), tmp_path / "new")
    assert found.scale is None
    assert kept(tmp_path / "new") == {"answer": 0, "twin": 9, "near": 9, "other": 9, "far": 9}
    facts = [one.origin.facts for one in judgments(tmp_path / "new").values()]
    assert not [own for own in facts if "probability" in own]


@pytest.mark.parametrize("queries", [4, 40])
def test_one_mislabelled_answer_makes_nothing_unsure(queries: int, tmp_path: Path) -> None:
    data = world(tmp_path / "data", queries, extra=1)
    found = teach(Listed(), data, tmp_path / "new")
    assert kept(tmp_path / "new")["near"] == queries
    assert found.unsure_share == 0
    assert found.worry() is None


def test_a_teacher_that_is_unsure_of_many_is_worth_a_word(tmp_path: Path) -> None:
    calibration = as_it_is()  # which is wrong: every p is 1
    found = teach(Listed(), world(tmp_path / "data", 12), tmp_path / "new",
                  run=Run(calibration=calibration))  # fmt: skip
    assert found.unsure_share == 1
    assert "unsure of 100% of the negatives" in (found.worry() or "")


def test_a_calibration_is_used_and_written_down(tmp_path: Path) -> None:
    def taught(name: str, run: Run | None) -> tuple[TeachingSummary, Judgment]:
        judged: list[Judged] = [("q", "a", 1, "train", "human"), ("q", "b", 0, "train", "mined")]
        texts = {"a": "an answer 0", "b": "two 3"}
        data = school(tmp_path / f"{name}.data", texts, judged)
        found = teach(NumberReranker(), data, tmp_path / name, run=run)
        return found, judgments(tmp_path / name)["q", "b"]

    found, one = taught("honest", Run(calibration=as_it_is()))
    assert found.scale is not None
    assert found.scale.fitted_on == "calibration"
    assert (one.origin.facts["verdict"], one.origin.facts["probability"]) == ("unsure", 0.5)
    assert one.origin.facts["teacher_answer_score"] == 3
    assert taught("without", None)[1].origin.kind == "mined"  # three below the answer


def test_the_calibration_of_another_is_refused(tmp_path: Path) -> None:
    data = world(tmp_path / "data", 2)
    with pytest.raises(BadModel, match=r"calibration of reranker aaaa.* got that of b"):
        teach(Listed(), data, tmp_path / "new", run=Run(calibration=as_it_is("b" * 16)))
    with pytest.raises(BadSetting, match="one reranker alone"):
        teach([Listed(), NumberReranker("b" * 16)], data, tmp_path / "new", Teaching(),
              Run(calibration=as_it_is()))  # fmt: skip
    assert not (tmp_path / "new").exists()
