"""A teacher is held against people first, and what that costs is bounded."""

from pathlib import Path

import numpy as np
import pytest
from asked_judges import grade, judge
from flat_angles import Line
from llm_server import JudgeServer, served
from school import Judged, NumberReranker, as_it_is, school

from nearfar.data.dataset import Dataset
from nearfar.data.texts_by_row import Texts
from nearfar.errors import BadRecord
from nearfar.teaching.known import read_known
from nearfar.teaching.pairs import Pairs
from nearfar.teaching.settings import Teaching
from nearfar.teaching.teach import Run, teach

DEPTH = Teaching(depth=9)


def world(folder: Path, *, negatives: bool) -> Dataset:
    """Of 30 queries people have judged 12; to all of them an encoder brings candidates."""
    documents = {f"d{i}": f"text {i}" for i in range(80)}
    queries = {f"q{i}": f"ask {i}" for i in range(30)}
    judged: list[Judged] = []
    for i in range(30):
        kind = "human" if i < 12 else "click"
        judged.append((f"q{i}", f"d{i}", 1, "train", kind))
        if negatives:
            judged.append((f"q{i}", f"d{i + 9}", 0, "train", kind))
    return school(folder, documents, judged, queries=queries)


def test_a_judge_that_disagrees_is_paid_for_the_trial_alone(tmp_path: Path) -> None:
    data = world(tmp_path / "data", negatives=False)
    with served(JudgeServer(grade=lambda q, d: 0)) as server, judge(
        server, tmp_path / "j", repeats=1
    ) as found:  # fmt: skip
        with pytest.raises(BadRecord, match=r"0% of 12 pairs .*--allow-disagreement"):
            teach(found, data, tmp_path / "new", DEPTH,
                  Run(least_agreement=0.4, encoder=Line()))  # fmt: skip
        assert len(server.asked) == 12
        assert not (tmp_path / "new").exists()


def test_the_trial_is_not_paid_twice_nor_counted_twice(tmp_path: Path) -> None:
    data = world(tmp_path / "data", negatives=True)
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", repeats=2
    ) as found:  # fmt: skip
        summary = teach(found, data, tmp_path / "new", DEPTH,
                        Run(least_agreement=0.4, encoder=Line()))  # fmt: skip
        assert len(server.asked) == 2 * summary.pairs == found.questioner.states.total()
    assert summary.agreement is not None
    assert (summary.agreement.pairs, summary.agreement.measure) == (24, "kappa")
    assert summary.agreement.number == 1


def test_few_pairs_that_leave_it_open_do_not_stop_it(tmp_path: Path) -> None:
    data = world(tmp_path / "data", negatives=False)
    calls = iter(range(999))
    with served(JudgeServer(grade=lambda q, d: 3 * (next(calls) % 12 < 3))) as server, judge(
        server, tmp_path / "j", repeats=1, limit={"concurrency": 1}
    ) as found:  # fmt: skip
        summary = teach(found, data, tmp_path / "new", run=Run(least_agreement=0.4))
    assert summary.agreement is not None
    assert summary.agreement.share == 3 / 12
    assert "too few to tell" in summary.agreement.sentence(0.4)


def test_people_are_asked_about_at_most_a_hundred_pairs_of_many_queries(tmp_path: Path) -> None:
    documents = {f"d{i}": f"text {i}" for i in range(60)}
    queries = {f"q{i}": f"ask {i}" for i in range(40)}
    judged: list[Judged] = [("q0", f"d{i}", float(i == 0), "train", "human") for i in range(60)]
    judged += [(f"q{i}", f"d{i + k}", float(k == 0), "train", "human")
               for i in range(1, 40) for k in range(3)]  # fmt: skip
    judged += [("q1", "d9", 0, "train", "mined")]
    data = school(tmp_path / "data", documents, judged, queries=queries)
    pairs = Pairs(read_known(data), Teaching(), Texts(data, "queries", tmp_path), None)
    block = pairs.trial()
    assert block is not None
    assert len(block.place) == len(set(block.judgment.tolist())) == 100
    assert np.bincount(block.place).max() <= 10
    assert len(block.queries) >= 30
    assert {pairs.known.kind[place] for place in block.judgment} == {"human"}
    rows = np.array(block.queries)[block.place]
    assert (pairs.known.query[block.judgment] == rows).all()


def opposed(folder: Path) -> Dataset:
    """People say the opposite of a teacher that goes by numbers."""
    documents = {f"d{i}": f"text {i}" for i in range(40)}
    queries = {f"q{i}": f"ask {i}" for i in range(20)}
    judged: list[Judged] = []
    for i in range(20):
        judged += [
            (f"q{i}", f"d{i}", 0, "train", "human"),
            (f"q{i}", f"d{i + 9}", 1, "train", "human"),
        ]
    judged += [(f"q{i}", f"d{i + 2}", 0, "train", "mined") for i in range(20)]
    return school(folder, documents, judged, queries=queries)


def test_a_reranker_is_held_against_people_by_its_calibration_or_by_order(tmp_path: Path) -> None:
    old = opposed(tmp_path / "data")
    reranker = NumberReranker()
    for calibration, words in (
        (as_it_is(), r"agrees with people on 0% of 40 pairs \(kappa -1.00"),
        (None, r"puts answers of people first 0% of the time \(Somers' D -1.00.*; 40 pairs"),
    ):
        with pytest.raises(BadRecord, match=words):
            teach(reranker, old, tmp_path / "new",
                  run=Run(least_agreement=0.4, calibration=calibration))  # fmt: skip
        assert len(reranker.scored) == 40  # none of the 20 mined ones
    assert not (tmp_path / "new").exists()
    found = teach(reranker, old, tmp_path / "new", run=Run(calibration=as_it_is()))
    assert found.agreement is not None
    assert found.agreement.number == -1


def test_strengths_are_held_against_answers_and_never_against_a_threshold(tmp_path: Path) -> None:
    """Two answers and a bad document: both beat it, and one of them is below average."""
    documents = {f"{name}{i}": f"{name} {i + gap}" for i in range(12)
                 for name, gap in (("best", 0), ("good", 1), ("bad", 50))}  # fmt: skip
    judged: list[Judged] = [(f"q{i}", f"{name}{i}", float(name != "bad"), "train", "human")
                            for i in range(12) for name in ("best", "good", "bad")]  # fmt: skip
    queries = {f"q{i}": f"ask {i}" for i in range(12)}
    data = school(tmp_path / "data", documents, judged, queries=queries)
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", pairwise=True, repeats=1
    ) as found:  # fmt: skip
        summary = teach(found, data, tmp_path / "new", run=Run(least_agreement=0.4))
    assert summary.scale is None
    assert summary.agreement is not None
    assert (summary.agreement.measure, summary.agreement.number) == ("order", 1)
    assert summary.became["answers doubted"] == 0
