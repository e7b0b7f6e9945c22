"""A calibrated similarity, held against pairs that had no say: does 0.8 mean 80 of 100?"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import LETTERS, LetterEncoder
from task_data import Pair, classified, graded, written
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadRecord, BadSetting
from nearfar.evaluation.judged_pairs import read_judged_pairs
from nearfar.evaluation.likeness import read_similarity
from nearfar.evaluation.task_scores import TaskScores, compare_tasks
from nearfar.evaluation.tasks import evaluate_task
from nearfar.pipeline.task_evaluating import measure_tasks, require_tasks
from nearfar.progress import Progress, silent
from nearfar.records import Role


class AngleEncoder:
    """A query says its own cosine with every document, as in "0.731 12"."""

    space = replace(LETTERS, weights="angles", dim=2)

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        cosines = [float(text.split()[0]) if role == "query" else 1.0 for text in contents]
        return torch.tensor([[one, math.sqrt(1 - one * one)] for one in cosines])


def drawn(folder: Path, *, shift: float = 0.0, pairs: int = 400) -> Dataset:
    """Pairs that belong together by a probability of their cosine; in test by another one."""
    dice = np.random.default_rng(5)
    found: list[Pair] = []
    for split in ("dev", "test"):
        for number, cosine in enumerate(dice.uniform(0.5, 0.95, pairs)):
            at = 0.75 + (shift if split == "test" else 0.0)
            answer = dice.random() < 1 / (1 + math.exp(-20 * (cosine - at)))
            found.append((f"{cosine:.6f} {split} {number}", f"d{split}{number}", answer, split))
    return written(folder, found, kind="human")


def held(dataset: Dataset) -> TaskScores:
    return evaluate_task(AngleEncoder(), dataset, "test", "similarity")


def error_by_loop(said: Sequence[float], truth: Sequence[float]) -> float:
    """The expected calibration error, bin by bin."""
    total = 0.0
    for low in range(15):
        own = [(p, t) for p, t in zip(said, truth, strict=True) if min(int(p * 15), 14) == low]
        total += abs(math.fsum(p - t for p, t in own))
    return total / len(said)


def test_every_number_is_what_the_written_calibration_and_loops_say(tmp_path: Path) -> None:
    dataset, folder = classified(tmp_path / "d", ("dev", "test")), tmp_path / "out"
    [report] = measure_tasks(folder, dataset, (LetterEncoder(), None), "test", ["similarity"])
    fitted = read_similarity(folder / "base/similarity", LETTERS)
    pairs = read_judged_pairs(dataset, "test")
    said = fitted.between(LetterEncoder(), pairs.query, pairs.document).tolist()
    truth = [float(grade > 0) for grade in pairs.grades]
    squares = [(p - t) ** 2 for p, t in zip(said, truth, strict=True)]
    means = {measure.name: measure.base.mean for measure in report.measures}
    assert means["similarity_brier_error"] == pytest.approx(math.fsum(squares) / len(squares))
    assert means["similarity_calibration_error"] == pytest.approx(error_by_loop(said, truth))
    assert report.facts["means"] == "probability"
    assert report.facts["brier_error_of_the_mean"] == pytest.approx(0.25)
    assert sum(band.true.n for band in report.bands) == len(said)
    for band in report.bands:
        own = [t for p, t in zip(said, truth, strict=True) if band.low <= p < band.high]
        assert band.true.mean == pytest.approx(np.mean(own))
        assert band.low <= band.said <= band.high


def test_an_honest_similarity_is_told_from_one_that_flatters(tmp_path: Path) -> None:
    honest, flattering = held(drawn(tmp_path / "a")), held(drawn(tmp_path / "b", shift=0.12))
    errors = [
        next(one.base.mean for one in compare_tasks(found) if "calibration" in one.name)
        for found in (honest, flattering)
    ]
    chance = float(honest.facts["calibration_error_by_chance"])
    assert 0.02 < chance < 0.08
    assert errors[0] < chance + 0.03
    assert errors[1] > chance + 0.1
    for band in honest.bands:
        assert band.true.low is not None
        assert band.true.high is not None
        assert band.true.low < band.said < band.true.high
    assert any(band.true.high < band.said for band in flattering.bands)  # type: ignore[operator]
    brier = honest.scores.values["similarity_brier_error"].mean()
    assert brier < float(honest.facts["brier_error_of_the_mean"]) - 0.05


def test_degrees_are_held_against_degrees_on_one_scale(tmp_path: Path) -> None:
    found = evaluate_task(LetterEncoder(), graded(tmp_path / "d", ("dev", "test")), "test",
                          "similarity")  # fmt: skip
    assert (found.facts["kind"], found.facts["means"]) == ("isotonic", "degree")
    assert "calibration_error_by_chance" not in found.facts
    tall: list[Pair] = [
        (f"{i / 50:.3f} {split}", f"{split}{i}", scale * i / 40, split)
        for split, scale in (("dev", 4.0), ("test", 5.0))
        for i in range(41)
    ]
    dataset = written(tmp_path / "tall", tall, kind="sts")
    said = evaluate_task(AngleEncoder(), dataset, "test", "similarity")
    # dev ends at 4 of 5: what is judged 5 there would be called .8
    assert said.scores.values["similarity_brier_error"][-1] == pytest.approx(0.04, abs=1e-3)


def test_what_cannot_be_calibrated_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    dataset = classified(tmp_path / "a", ("dev", "test"))
    with pytest.raises(BadSetting, match="expected another split than dev"):
        require_tasks(dataset, "dev", ["similarity"])
    with pytest.raises(BadRecord, match="expected in the dev split pairs judged by degrees"):
        require_tasks(graded(tmp_path / "b"), "test", ["similarity"])
    with pytest.raises(BadRecord, match="20 judged pairs or more in dev"):
        require_tasks(drawn(tmp_path / "c", pairs=19), "test", ["similarity"])
    require_tasks(dataset, "test", ["similarity"])


def test_a_vector_that_is_no_number_names_its_text(tmp_path: Path) -> None:
    class Broken(AngleEncoder):
        def encode(self, contents: Sequence[str], *more: object, **named: object) -> Tensor:
            found = torch.ones(len(contents), 2)
            found[1, 0] = torch.nan
            return found

    dataset = drawn(tmp_path / "d", pairs=30)
    with pytest.raises(BadModel, match="NaN or infinity in 1 of 30 vectors, the first of '0"):
        evaluate_task(Broken(), dataset, "test", "similarity")
