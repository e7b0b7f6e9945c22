"""A calibrated similarity is honest, holds for one space, and survives the disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles import LETTERS, LetterEncoder
from task_data import classified, graded

from nearfar.errors import BadFile, BadRecord, SpaceMismatch
from nearfar.evaluation.likeness import (
    FILE,
    EmbeddingSimilarity,
    calibrate_similarity,
    fit_similarity,
    read_similarity,
)
from nearfar.model.calibration import honesty

OTHER = replace(LETTERS, weights="others")


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between .6 and .9, as many spaces give, and answers by a known probability."""
    dice = np.random.default_rng(seed)
    cosines = dice.uniform(0.6, 0.9, n)
    truth = dice.random(n) < 1 / (1 + np.exp(-30 * (cosines - 0.8)))
    return cosines, truth.astype(np.float64)


def fitted(kind: str, n: int = 3_000) -> EmbeddingSimilarity:
    cosines, truth = drawn(n)
    names = [str(i) for i in range(n)]
    return fit_similarity(cosines, truth, LETTERS, names, kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_it_says_the_probability_that_was_drawn(kind: str) -> None:
    found = fitted(kind)
    at = np.array([0.65, 0.75, 0.8, 0.85])
    assert found.of(at) == pytest.approx(1 / (1 + np.exp(-30 * (at - 0.8))), abs=0.1)
    cosines, truth = drawn(3_000, seed=1)
    new = found.reliability(cosines, truth)
    assert found.held_out is not None
    assert new.calibration_error < 0.05
    # what it says of itself is what new pairs say; a bare cosine is far off
    assert found.held_out.brier_error == pytest.approx(new.brier_error, abs=0.02)
    bare = honesty(np.log(cosines / (1 - cosines)), truth)
    assert bare.calibration_error > 0.3
    assert (np.diff(found.of(np.linspace(-1, 1, 400))) >= 0).all()
    assert 0 <= found.of(np.array([-1.0]))[0] <= found.of(np.array([1.0]))[0] <= 1


def test_what_it_says_of_itself_is_of_pairs_it_did_not_see() -> None:
    dice = np.random.default_rng(0)
    cosines, truth = dice.random(60), (dice.random(60) < 0.5) * 1.0
    cosines[truth == 1] += 0.2  # little to learn, and 60 pairs to learn it by heart
    own = fit_similarity(cosines, truth, LETTERS, [str(i) for i in range(60)], kind="isotonic")
    seen = own.reliability(cosines, truth)
    assert own.held_out is not None
    assert own.held_out.brier_error > seen.brier_error + 0.01


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_it_survives_the_disk_and_refuses_another_space(tmp_path: Path, kind: str) -> None:
    found = fitted(kind, 200)
    found.write(tmp_path)
    assert read_similarity(tmp_path, LETTERS) == found
    with pytest.raises(SpaceMismatch, match=r"read cosines as likeness.*\n.*weights"):
        read_similarity(tmp_path, OTHER)
    with pytest.raises(SpaceMismatch):
        found.between(LetterEncoder(OTHER), ["a"], ["b"])
    one, other = found.between(LetterEncoder(), ["abc", "abc"], ["abc", "xyz"])
    assert one > other


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"similarity\.json: expected a calibrated similarity"):
        read_similarity(tmp_path, LETTERS)
    fitted("isotonic", 200).write(tmp_path)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace('"isotonic"', '"platt"'))
    with pytest.raises(BadFile, match="do not fit"):
        read_similarity(tmp_path, LETTERS)


def test_backwards_or_too_few_pairs_are_refused() -> None:
    cosines, truth = drawn(100)
    names = [str(i) for i in range(100)]
    for kind in ("platt", "isotonic"):
        with pytest.raises(BadRecord, match="backwards or by chance"):
            fit_similarity(-cosines, truth, LETTERS, names, kind=kind)  # type: ignore[arg-type]
    with pytest.raises(BadRecord, match="20 judged pairs or more"):
        fit_similarity(cosines[:19], truth[:19], LETTERS, names[:19])
    with pytest.raises(BadRecord, match="degrees between: use isotonic"):
        fit_similarity(cosines, truth * 0.5, LETTERS, names)
    with pytest.raises(BadRecord, match="found 100 and 0"):
        fit_similarity(cosines, np.ones(100), LETTERS, names)


def test_a_dataset_calibrates_by_degrees_or_by_two_kinds_of_pairs(tmp_path: Path) -> None:
    by_degrees = calibrate_similarity(LetterEncoder(), graded(tmp_path / "a", ("dev",)))
    assert by_degrees.kind == "isotonic"
    assert by_degrees.pairs == 40
    by_kinds = calibrate_similarity(LetterEncoder(), classified(tmp_path / "b", ("dev",)))
    assert by_kinds.kind == "platt"
    assert by_kinds.space == LETTERS
    with pytest.raises(BadRecord, match="as the task similarity needs"):
        calibrate_similarity(LetterEncoder(), graded(tmp_path / "c", ("test",)))
