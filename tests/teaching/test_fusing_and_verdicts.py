"""Several teachers' scores become one, and a score becomes a verdict."""

import math
from dataclasses import replace

import numpy as np
import pytest

from nearfar.errors import BadSetting
from nearfar.teaching.fusing import fused
from nearfar.teaching.grading import Verdict, median_answers, verdicts
from nearfar.teaching.scales import Scale
from nearfar.teaching.settings import Teaching

NAN = math.nan
HONEST = Scale(1.0, 0.0, "calibration")


def by_loops(logits: list[list[float]], query: list[int], fusion: str, w: list[float]) -> list:
    """The formulas of the docstring, pair by pair."""
    shares = [one / sum(w) for one in w]
    out = [NAN] * len(query)
    for asked in set(query):
        rows = [
            i
            for i, q in enumerate(query)
            if q == asked and not any(map(math.isnan, (t[i] for t in logits)))
        ]
        for i in rows:
            if fusion == "logit":
                out[i] = sum(s * t[i] for s, t in zip(shares, logits, strict=True))
                continue
            total = mean = spread = 0.0
            for share, teacher in zip(shares, logits, strict=True):
                own = [teacher[r] for r in rows]
                m = math.fsum(own) / len(own)
                d = math.sqrt(math.fsum((x - m) ** 2 for x in own) / len(own))
                values = dict(zip(rows, own, strict=True))
                if fusion == "ranks":
                    values = {
                        r: 1 / (60 + (1 + sum(x > v for x in own) + sum(x >= v for x in own)) / 2)
                        for r, v in values.items()
                    }
                vm = math.fsum(values.values()) / len(rows)
                vd = math.sqrt(math.fsum((x - vm) ** 2 for x in values.values()) / len(rows))
                total += share * ((values[i] - vm) / vd if vd else 0.0)
                mean, spread = mean + share * m, spread + share * d
            out[i] = mean + spread * total
    return out


@pytest.mark.parametrize("fusion", ["logit", "standard", "ranks"])
@pytest.mark.parametrize("seed", range(4))
def test_fusing_is_its_formula(fusion: str, seed: int) -> None:
    dice = np.random.default_rng(seed)
    logits = dice.integers(-4, 5, (3, 20)).astype(float)  # whole numbers: there are ties
    logits[dice.random(logits.shape) < 0.05] = NAN
    query = dice.integers(0, 4, 20)
    weights = [1.0, 2.0, 0.5]
    found = fused(logits, query, fusion, weights)
    want = by_loops(logits.tolist(), query.tolist(), fusion, weights)
    assert found.tolist() == pytest.approx(want, nan_ok=True)


def test_one_teacher_is_not_changed_by_standardising() -> None:
    logits = np.array([[1.0, 4.0, -2.0, 8.0]])
    assert fused(logits, np.array([0, 0, 1, 1]), "standard", []).tolist() == logits[0].tolist()


def test_teachers_that_say_nothing_say_nothing_together() -> None:
    assert np.isnan(fused(np.full((2, 3), NAN), np.zeros(3, int), "ranks", [])).all()


def test_weights_must_be_as_many_as_teachers() -> None:
    with pytest.raises(BadSetting, match="one for each of the 2 teachers, got 3"):
        fused(np.zeros((2, 1)), np.zeros(1, int), "logit", [1, 1, 1])


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize(
    ("p", "answer", "verdict"),
    [
        (0.39, 0.8, Verdict.NEGATIVE),
        (0.41, 0.8, Verdict.UNSURE),
        (0.79, 0.8, Verdict.UNSURE),  # likely, yet less so than the answer
        (0.81, 0.8, Verdict.ANSWER),
        (0.3, 0.2, Verdict.UNSURE),  # above the answer, yet not likely
        (0.09, 0.2, Verdict.NEGATIVE),
        (0.24, None, Verdict.NEGATIVE),  # no answer to compare with: one of 0.5 is taken
        (0.26, None, Verdict.UNSURE),
        (0.51, None, Verdict.ANSWER),
        (NAN, 0.8, Verdict.UNKNOWN),
    ],
)
def test_verdicts(p: float, answer: float | None, verdict: Verdict) -> None:
    score = np.array([NAN if math.isnan(p) else logit(p)])
    reference = np.array([NAN if answer is None else logit(answer)])
    assert verdicts(score, reference, HONEST, Teaching()).tolist() == [verdict]
    elsewhere = Scale(0.5, -7.0, "calibration")  # the same probabilities of other logits
    assert verdicts(2 * score + 14, 2 * reference + 14, elsewhere, Teaching()).tolist() == [verdict]


@pytest.mark.parametrize("moved", [-20.0, 0.0, 20.0])
def test_verdicts_without_a_scale_know_gaps_alone(moved: float) -> None:
    gaps = np.array([-9.0, -0.7, -0.69, -0.1, 0.0, 0.1, NAN])
    found = verdicts(gaps + moved, np.full(7, moved), None, Teaching())
    assert found.tolist() == [1, 1, 2, 2, 3, 3, 0]  # the odds of half the answer's: -log 2
    alone = verdicts(gaps + moved, np.full(7, NAN), None, Teaching())
    assert set(alone.tolist()) == {Verdict.UNKNOWN}
    none = verdicts(gaps, np.zeros(7), None, replace(Teaching(), negative_share=0.0))
    assert Verdict.NEGATIVE not in none.tolist()


@pytest.mark.parametrize("scale", [HONEST, None])
def test_no_score_is_both_at_the_strictest_settings(scale: Scale | None) -> None:
    scores = np.linspace(-50, 50, 201)
    strict = replace(Teaching(), negative_share=1.0, answer_probability=1e-9)
    for reference in (-50.0, -3.0, 0.0, 49.0, 50.0):
        found = verdicts(scores, np.full(201, reference), scale, strict)
        assert ((found == Verdict.ANSWER) <= (scores >= reference)).all()
        assert ((found == Verdict.NEGATIVE) <= (scores < reference)).all()


def test_the_median_answer_is_that_of_the_own_query() -> None:
    scores = np.array([3.0, 1.0, NAN, -1.0, 2.0, 9.0, -8.0, -8.0, 4.0])
    answers = np.array([True, True, True, False, True, True, True, False, True])
    found = median_answers(scores, answers, np.array([0, 0, 1, 1, 2, 2, 2, 2, 4]), 5)
    assert found.tolist() == pytest.approx([3, NAN, 2, NAN, 4], nan_ok=True)  # 3: of two the higher
