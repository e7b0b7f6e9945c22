"""A sign-flip test says what all flips, one by one, would say; and is wrong as often as it says."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from nearfar.evaluation import sign_flips
from nearfar.evaluation.sign_flips import Floats, sign_flip_p


def every_flip(differences: list[float], clusters: list[str]) -> float:
    """Flip the clusters in all ways, one by one."""
    names = sorted(set(clusters))
    observed = sum(differences)
    low = 0
    for signs in product((1, -1), repeat=len(names)):
        sign = dict(zip(names, signs, strict=True))
        low += sum(sign[c] * d for d, c in zip(differences, clusters, strict=True)) <= (
            observed + 1e-9
        )
    return low / 2 ** len(names)


@pytest.mark.parametrize("seed", range(5))
def test_few_clusters_are_flipped_in_every_way(seed: int) -> None:
    dice = np.random.default_rng(seed)
    clusters = [f"c{i}" for i in dice.integers(0, 7, 40)]
    found = dice.choice([-1.0, -0.37, 0.0, 0.0, 0.37, 0.61], 40)  # with ties
    assert sign_flip_p(found, clusters) == pytest.approx([every_flip(found.tolist(), clusters)])


def test_many_clusters_come_close_to_every_way() -> None:
    dice = np.random.default_rng(0)
    clusters = [f"c{i % 12}" for i in range(60)]
    found = dice.normal(-0.1, 0.4, 60)
    exact = every_flip(found.tolist(), clusters)
    assert 0.01 < exact < 0.3  # so that the next line can fail
    assert sign_flip_p(found, clusters, resamples=4_000) == pytest.approx([exact], abs=0.02)


def test_agrees_with_scipy_where_each_query_stands_alone() -> None:
    found = np.random.default_rng(1).normal(-0.03, 0.2, 80)
    theirs = stats.permutation_test(
        (found,), np.mean, permutation_type="samples", alternative="less", n_resamples=9_999,
        vectorized=True, axis=0, rng=np.random.default_rng(2),
    ).pvalue  # fmt: skip
    assert sign_flip_p(found, np.arange(80)) == pytest.approx([theirs], abs=0.02)


def test_p_is_never_zero_and_one_where_nothing_differs() -> None:
    columns = np.stack([np.full(50, -1.0), np.zeros(50), np.full(50, 1.0)], axis=1)
    low, none, high = sign_flip_p(columns, np.arange(50), resamples=999)
    assert low == pytest.approx(1 / 1_000)
    assert none == 1
    assert high == 1


def test_a_column_does_not_feel_the_others_nor_the_order() -> None:
    dice = np.random.default_rng(3)
    columns = dice.normal(-0.05, 0.3, (200, 3))
    clusters = [f"c{i}" for i in dice.integers(0, 70, 200)]
    together = sign_flip_p(columns, clusters, seed=5)
    alone = [sign_flip_p(columns[:, i], clusters, seed=5)[0] for i in range(3)]
    turned = sign_flip_p(columns[::-1], clusters[::-1], seed=5)
    assert together.tolist() == alone
    assert turned.tolist() == alone


def test_the_size_of_a_block_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.random.default_rng(4).normal(-0.05, 0.3, (90, 2))
    whole = sign_flip_p(columns, np.arange(90), resamples=1_000)
    few = sign_flip_p(columns[:8], np.arange(8))
    monkeypatch.setattr(sign_flips, "_BLOCK_NUMBERS", 1_000)
    assert sign_flip_p(columns, np.arange(90), resamples=1_000).tolist() == whole.tolist()
    assert sign_flip_p(columns[:8], np.arange(8)).tolist() == few.tolist()


def test_nothing_is_found_too_often_where_there_is_nothing() -> None:
    """200 sessions of unlike size: of 2,000 tests about 5 in 100 say "below 0" at .05."""
    dice = np.random.default_rng(5)
    member = np.repeat(np.arange(40), np.arange(40) % 9 + 1)
    columns = dice.normal(0, 0.2, (40, 2_000))[member] + dice.normal(0, 0.1, (len(member), 2_000))
    together = sign_flip_p(columns, member, resamples=999)
    as_if_alone = sign_flip_p(columns, np.arange(len(member)), resamples=999)
    assert 0.035 < np.mean(together <= 0.05) < 0.065
    assert np.mean(as_if_alone <= 0.05) > 0.1  # so that the test can fail


def test_what_is_missing_or_no_number_is_refused() -> None:
    for differences, clusters in ((np.zeros(0), []), (np.zeros(3), ["a", "b"])):
        with pytest.raises(ValueError, match="as many clusters as differences"):
            sign_flip_p(differences, clusters)
    bad: Floats = np.array([0.1, np.nan])
    with pytest.raises(ValueError, match="not a number"):
        sign_flip_p(bad, ["a", "b"])
