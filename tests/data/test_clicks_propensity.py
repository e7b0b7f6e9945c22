"""Propensities are the maximum of their likelihood, found only where the log can tell."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from nearfar.data.clicks.counts import Cells, Counts
from nearfar.data.clicks.propensity import estimated_propensities, power_propensities
from nearfar.errors import BadFile, BadSetting

Seen = Mapping[tuple[int, int], tuple[int, int]]  # (pair, rank) to impressions and clicks


def cells(seen: Seen) -> Cells:
    """Return counts as events, one page for each impression."""
    counts = Counts()
    for (pair, rank), (shown, clicked) in seen.items():
        one = np.ones(shown, dtype=np.int64)
        clicks = (np.arange(shown) < clicked).astype(np.int64)
        counts.add(pair * one, 0 * one, rank * one, (clicks, clicks, 0 * one, np.arange(shown)))
    return counts.cells()


def likelihood(seen: Seen, p: Mapping[int, float]) -> float:
    """Return the formula of the docstring, with loops."""
    total = 0.0
    for (pair, rank), (shown, clicked) in seen.items():
        ranks = [(k, n) for (other, k), (n, _) in seen.items() if other == pair]
        if clicked and len(ranks) > 1:
            total += clicked * math.log(shown * p[rank] / math.fsum(n * p[k] for k, n in ranks))
    return total


def random_log(seed: int) -> dict[tuple[int, int], tuple[int, int]]:
    dice = np.random.default_rng(seed)
    truth = {1: 1.0, 2: 0.7, 3: 0.5, 4: 0.2}
    seen = {}
    for pair in range(60):
        attracts = dice.uniform(0.1, 0.9)
        for rank in dice.choice(4, dice.integers(1, 4), replace=False) + 1:
            shown = int(dice.integers(5, 60))
            seen[pair, int(rank)] = (shown, int(dice.binomial(shown, attracts * truth[rank])))
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_no_step_away_from_the_estimate_is_more_likely(seed: int) -> None:
    seen = random_log(seed)
    found = estimated_propensities(cells(seen))
    assert found.estimated == (1, 2, 3, 4)
    best = {rank: float(found.by_rank[rank]) for rank in found.estimated}
    assert max(best.values()) == 1
    highest = likelihood(seen, best)
    for rank in best:
        for step in (0.99, 1.01):
            assert likelihood(seen, best | {rank: best[rank] * step}) < highest


def test_counts_that_follow_the_model_exactly_give_it_back() -> None:
    truth = {1: 1.0, 2: 0.5, 3: 0.25}
    seen = {
        (pair, rank): (400, int(400 * attracts * truth[rank]))
        for pair, attracts in enumerate([0.2, 0.5, 1.0])
        for rank in truth
    }
    found = estimated_propensities(cells(seen))
    assert found.by_rank[1:4] == pytest.approx([1, 0.5, 0.25], rel=1e-4)


def test_pairs_at_one_rank_alone_change_nothing() -> None:
    seen = random_log(0)
    alone = {(1_000 + n, rank): (500, 400) for n, rank in enumerate([1, 4, 4, 4])}
    with_them = estimated_propensities(cells({**seen, **alone})).by_rank
    assert with_them == pytest.approx(estimated_propensities(cells(seen)).by_rank)


def test_ranks_that_nothing_links_take_their_neighbours_value() -> None:
    linked = {(0, 2): (100, 50), (0, 4): (100, 25), (1, 4): (100, 40), (1, 2): (100, 80)}
    apart = {(5, 7): (100, 30), (5, 9): (100, 20)}  # fewer clicks, and no chain to the rest
    seldom = {(6, 2): (100, 10), (6, 5): (100, 3)}
    found = estimated_propensities(cells({**linked, **apart, **seldom}))
    assert found.estimated == (2, 4)
    assert found.by_rank[[1, 2, 3]] == pytest.approx([1, 1, 1])
    assert found.by_rank[[4, 5, 9, 100]] == pytest.approx([0.5] * 4, rel=0.05)


@pytest.mark.parametrize(
    "seen",
    [
        {(0, 1): (100, 50), (1, 2): (100, 50)},  # each at one rank
        {(0, 1): (100, 50), (0, 2): (100, 0)},  # never clicked at the other
        {(0, 1): (100, 15), (0, 2): (100, 15)},  # too few clicks
        {(0, 1): (100, 0), (0, 2): (100, 0)},
    ],
)
def test_a_log_that_cannot_tell_is_refused(seen: Seen) -> None:
    with pytest.raises(BadSetting, match="Give a longer log, or use propensity = 'power'"):
        estimated_propensities(cells(seen))


def test_a_power_of_zero_takes_clicks_as_they_are() -> None:
    assert set(power_propensities(0).by_rank) == {1.0}
    assert power_propensities(2).by_rank[[1, 2, 10]] == pytest.approx([1, 0.25, 0.01])


def test_counting_in_chunks_is_counting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfar.data.clicks.counts._LEAST_BUFFER", 10)  # merge often
    dice = np.random.default_rng(0)
    query, doc, rank, clicked = (dice.integers(0, top, 5_000) for top in (5, 7, 100, 2))
    rank += 1
    page = np.arange(5_000)
    counts = Counts()
    for start in range(0, 5_000, 700):
        part = slice(start, start + 700)
        marks = (clicked[part], clicked[part] // 2, 1 - clicked[part], page[part])
        counts.add(query[part], doc[part], rank[part], marks)
    found = counts.cells()
    events = list(zip(query.tolist(), doc.tolist(), rank.tolist(), strict=True))
    shown = Counter(events)
    of_cell = list(
        zip(
            found.query[found.pair].tolist(),
            found.document[found.pair].tolist(),
            found.rank.tolist(),
            strict=True,
        )
    )
    assert of_cell == sorted(shown)
    assert found.impressions.tolist() == [shown[cell] for cell in of_cell]
    clicks = Counter(e for e, c in zip(events, clicked, strict=True) if c)
    assert found.clicks.tolist() == [clicks[cell] for cell in of_cell]
    assert found.skips.tolist() == [shown[cell] - clicks[cell] for cell in of_cell]
    assert found.first_page.tolist() == [events.index(cell) for cell in of_cell]


def test_more_queries_than_a_key_has_room_for_are_refused() -> None:
    many = np.array([1 << 28])
    with pytest.raises(BadFile, match="more than 268,435,456 different queries"):
        Counts().add(many, many * 0, many * 0 + 1, (many, many, many, many))
