"""A calibrated probability is true as often as it says, and belongs to one model."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from nearfar.errors import BadFile, BadModel, BadRecord, BadSetting
from nearfar.model.calibration import calibrate, honesty, read_calibration


def _world(slope: float, offset: float, pairs: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of which sigmoid(slope * z + offset) is the truth."""
    dice = torch.Generator().manual_seed(1)
    logits = torch.randn(pairs, generator=dice) * 3 + 1
    truth = torch.rand(pairs, generator=dice) < torch.sigmoid(slope * logits + offset)
    return logits, truth.long()


def test_the_true_slope_and_offset_are_found() -> None:
    found = calibrate(*_world(0.5, -1.0), reranker="r")
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.offset == pytest.approx(-1.0, abs=0.06)
    warm = calibrate(*_world(0.4, 0.0), reranker="r", kind="temperature")
    assert warm.slope == pytest.approx(0.4, abs=0.02)
    assert warm.offset == 0


@pytest.mark.parametrize("kind", ["platt", "temperature"])
def test_the_fit_is_the_lowest_point_that_another_search_finds(kind: str) -> None:
    logits, answers = _world(1.5, 0.7, pairs=60)
    found = calibrate(logits, answers, reranker="r", kind=kind)
    ones, zeros = int(answers.sum()), int((1 - answers).sum())
    rows = [
        (z, (ones + 1) / (ones + 2) if answer else 1 / (zeros + 2))
        for z, answer in zip(logits.tolist(), answers.tolist(), strict=True)
    ]

    def loss(weights: list[float]) -> float:
        a, b = weights if kind == "platt" else (weights[0], 0.0)
        chances = [(1 / (1 + math.exp(-(a * z + b))), t) for z, t in rows]
        return -math.fsum(t * math.log(p) + (1 - t) * math.log(1 - p) for p, t in chances)

    start = [1.0, 0.0] if kind == "platt" else [1.0]
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    wanted = [*best.x, 0.0][:2]
    assert [found.slope, found.offset] == pytest.approx(wanted, abs=1e-5)


def test_exaggerated_probabilities_become_honest() -> None:
    logits, answers = _world(0.3, -0.8)
    found = calibrate(logits, answers, reranker="r")
    assert found.before.calibration_error > 0.15
    assert found.after.calibration_error < 0.02
    assert found.after.log_loss < found.before.log_loss
    assert found.after.brier_error < found.before.brier_error
    assert "20,000 pairs" in found.summary()
    assert f"{found.before.log_loss:.4f} -> {found.after.log_loss:.4f}" in found.summary()
    # Pairs that were not fitted on agree.
    others, truth = _world(0.3, -0.8, pairs=5_000)
    told = found.probability(others)
    assert float((told - truth).mean().abs()) < 0.02


def test_the_order_stays() -> None:
    found = calibrate(*_world(0.5, -1.0), reranker="r")
    told = found.probability(torch.linspace(-8, 8, 200))
    assert (told.diff() > 0).all()
    assert ((told > 0) & (told < 1)).all()
    assert told.dtype == torch.float32


@pytest.mark.parametrize("kind", ["platt", "temperature"])
def test_what_one_threshold_divides_stays_finite(kind: str) -> None:
    logits = torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]) * 1e3
    found = calibrate(logits, (logits > 0).long(), reranker="r", kind=kind)
    told = found.probability(logits)
    assert 0.1 < float(told[3]) < 0.999
    assert float(told[0]) < 0.3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12, unique=True),
    st.integers(1, 11),
)
def test_no_data_make_it_diverge(logits: list[float], ones: int) -> None:
    logits = sorted(logits)
    answers = torch.zeros(len(logits), dtype=torch.long)
    answers[-min(ones, len(logits) - 1) :] = 1
    try:
        found = calibrate(torch.tensor(logits), answers, reranker="r")
    except BadRecord:  # logits so near that their spread is nothing
        assert np.std(logits) < 1e-6
        return
    assert 0 < found.slope < math.inf
    assert math.isfinite(found.offset)
    assert found.after.log_loss <= math.log(2) + 0.2


def test_honesty_by_hand() -> None:
    found = honesty(np.array([0.0, 0.0, math.log(9)]), np.array([1.0, 0.0, 0.0]))
    assert found.calibration_error == pytest.approx(0.9 / 3)  # two halves are honest together
    assert found.brier_error == pytest.approx((0.25 + 0.25 + 0.81) / 3)
    assert found.log_loss == pytest.approx((2 * math.log(2) - math.log(0.1)) / 3)


@pytest.mark.parametrize(
    ("logits", "answers", "message"),
    [
        ([1.0, 2.0], [1, 1], "found 2 and 0.*mined negatives"),
        ([1.0, 2.0], [0, 0], "found 0 and 2"),
        ([1.0, 1.0], [0, 1], "found 1 for all 2 pairs"),
        ([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0], "backwards or by chance"),
        ([math.nan, 2.0], [0, 1], "expected finite logits, found 1"),
        ([1.0, 2.0], [0, 2], "answers of 0 and 1"),
    ],
)
def test_pairs_that_say_nothing_are_refused(
    logits: list[float], answers: list[int], message: str
) -> None:
    with pytest.raises(BadRecord, match=message):
        calibrate(torch.tensor(logits), torch.tensor(answers), reranker="r")


def test_another_kind_is_refused() -> None:
    with pytest.raises(BadSetting, match="platt or temperature"):
        calibrate(*_world(1, 0, pairs=9), reranker="r", kind="isotonic")
    with pytest.raises(ValueError, match="as many answers"):
        calibrate(torch.ones(2), torch.ones(3).long(), reranker="r")


def test_it_is_kept_beside_the_model_and_for_that_model_alone(tmp_path: Path) -> None:
    found = calibrate(*_world(0.5, -1.0, pairs=500), reranker="abc")
    found.write(tmp_path)
    assert read_calibration(tmp_path, reranker="abc") == found
    with pytest.raises(BadModel, match=r"calibration\.json.*reranker xyz, found that of abc"):
        read_calibration(tmp_path, reranker="xyz")


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="found none"):
        read_calibration(tmp_path, reranker="r")
    good = calibrate(*_world(0.5, -1.0, pairs=500), reranker="r")
    path = tmp_path / "calibration.json"
    replace(good, slope=-1.0).write(tmp_path)
    damaged = [path.read_text(), "[]", '"a"', "not json", json.dumps({"slope": 1})]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(BadFile, match="damaged file"):
            read_calibration(tmp_path, reranker="r")
