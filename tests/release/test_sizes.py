"""How many queries a question needs: as the design has it, and as a simulation finds it."""

import numpy as np
import pytest

from nearfar.evaluation.intervals import lower_bound
from nearfar.release.sizes import deviation_of, effect_of, queries_for


@pytest.mark.parametrize(("deviation", "usual"), [(0.2, 619), (0.3, 1392)])
def test_honest_bounds_take_some_more_than_the_usual_formula(deviation: float, usual: int) -> None:
    found = queries_for(deviation, 0.02, confidence=0.95, power=0.8)
    assert usual < found < 1.2 * usual
    assert effect_of(deviation, found, confidence=0.95, power=0.8) <= 0.02
    assert effect_of(deviation, found - 1, confidence=0.95, power=0.8) > 0.02


def test_what_never_differs_still_needs_the_rule_of_three() -> None:
    assert queries_for(0, 0.02, confidence=0.95, power=0.8) == 149
    assert 0.98**149 < 0.05 < 0.98**148


def test_so_many_queries_pass_about_as_often_as_promised() -> None:
    dice = np.random.default_rng(0)
    count = queries_for(0.2, 0.05, confidence=0.95, power=0.8)
    passed = [
        lower_bound(dice.normal(0, 0.2, count).clip(-1, 1), np.arange(count), least=-1) > -0.05
        for _ in range(300)
    ]
    assert 0.74 < np.mean(passed) < 0.88


def test_queries_that_hang_together_count_for_less() -> None:
    dice = np.random.default_rng(1)
    effects = dice.normal(0, 0.2, 50)
    values = np.repeat(effects, 8) + dice.normal(0, 0.05, 400)
    alone = deviation_of(values, np.arange(400))
    together = deviation_of(values, np.repeat(np.arange(50), 8))
    assert alone == pytest.approx(values.std(ddof=1))
    assert together == pytest.approx(alone * np.sqrt(8), rel=0.2)
