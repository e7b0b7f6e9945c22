"""The audit of any dataset's negatives, and the sheet that a person marks."""

import csv
import math
from pathlib import Path

import pytest
from flat_world import ANSWER, FAR, LEARN, Angles, Judged, world

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.mining.look import audit_negatives
from nearfar.mining.negatives import mine_negatives
from nearfar.mining.picture import draw_margins
from nearfar.mining.sheet import apply_sheet, write_sheet


@pytest.fixture
def taught(tmp_path: Path) -> Dataset:
    queries = {"q": "ask 0", "=sum": "=sum(a1) 0"}
    judged: list[Judged] = [*LEARN, ("=sum", "answer", 1, "train")]
    dataset = world(tmp_path / "data", FAR | ANSWER, judged, queries=queries)
    mine_negatives(Angles(), dataset, tmp_path / "taught")
    return Dataset.open(tmp_path / "taught")


def mark(path: Path, **marks: str) -> None:
    """Write marks as a spreadsheet would, by the document of the row of query q."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["query_id"] == "q":
            row["is_answer"] = marks.get(row["document_id"], "")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_any_judged_negatives_can_be_audited(tmp_path: Path) -> None:
    judged: list[Judged] = [*LEARN, ("q", "n40", 0, "train"), ("q", "n70", 0, "train")]
    audit = audit_negatives(Angles(), world(tmp_path / "data", FAR | ANSWER, judged))
    cosines = [math.cos(math.radians(angle)) for angle in (40, 70)]
    assert audit.negatives == 2
    assert audit.mean_score == pytest.approx(sum(cosines) / 2, abs=1e-6)
    assert audit.mean_answer_score == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    draw_margins(audit, tmp_path / "margins.svg")
    assert "<svg" in (tmp_path / "margins.svg").read_text()


def test_nothing_to_audit_is_said(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    with pytest.raises(BadRecord, match="a judged negative, found none"):
        audit_negatives(Angles(), dataset)
    with pytest.raises(BadRecord, match="expected mined negatives"):
        write_sheet(dataset, tmp_path / "sheet.csv")


def test_marks_come_back_as_judgments_of_a_person(taught: Dataset, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    assert write_sheet(taught, sheet) == 8
    mark(sheet, n40="Yes", n50="no")
    marked = apply_sheet(taught, sheet, tmp_path / "marked", by="ann")
    assert (marked.answers, marked.wrong, marked.unmarked) == (1, 1, 6)
    found = {
        j.document_id: (j.grade, j.origin.kind, j.origin.by)
        for j in Dataset.open(tmp_path / "marked").judgments()
        if j.query_id == "q"
    }
    by = next(by for _, kind, by in found.values() if kind == "mined")
    assert found == {
        "answer": (1.0, "human", ""),
        "n40": (1.0, "human", "ann"),
        "n50": (0.0, "human", "ann"),
        "n60": (0.0, "mined", by),
        "n70": (0.0, "mined", by),
    }


def test_what_looks_like_a_formula_is_shown_as_text_and_still_found(
    taught: Dataset, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.csv"
    write_sheet(taught, sheet)
    text = sheet.read_text()
    assert "'=sum(a1)" in text
    assert ",=" not in text
    sheet.write_text(text.replace("\n,'=sum", "\nyes,'=sum", 1))
    assert apply_sheet(taught, sheet, tmp_path / "marked").answers == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("is_answer", "verdict"), r"sheet\.csv:1: expected the columns"),
        (("\n,ask", "\nperhaps,ask"), r"expected yes, no, 1, 0 or nothing"),
        (("q,n40", "q,n99"), r"which are none"),
        (("yes", ""), r"expected a mark in is_answer"),
    ],
)
def test_a_spoiled_sheet_is_refused_with_its_line(
    taught: Dataset, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    sheet = tmp_path / "sheet.csv"
    write_sheet(taught, sheet)
    mark(sheet, n40="yes")
    text = sheet.read_text()
    assert change[0] in text
    sheet.write_text(text.replace(*change))
    with pytest.raises(BadRecord, match=message):
        apply_sheet(taught, sheet, tmp_path / "marked")
    assert not (tmp_path / "marked").exists()
