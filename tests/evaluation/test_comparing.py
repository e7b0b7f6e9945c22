"""Systems are held against each other on the same queries, or not at all."""

import html
import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import BadSetting, DataMismatch
from nearfar.evaluation.compared_page import cost_table, headline, write_comparison
from nearfar.evaluation.comparing import compare
from nearfar.evaluation.intervals import estimate
from nearfar.evaluation.measure import NOTHING
from nearfar.evaluation.scores import Scores

QUERIES = tuple(f"q{i}" for i in range(120))
CLUSTERS = tuple(f"c{i // 2}" for i in range(120))
METRICS = ("ndcg_at_10_score", "map_score")


def scores(name: str, lift: float = 0.0, seed: int = 0, **facts: object) -> Scores:
    ground = np.random.default_rng(0).uniform(0.2, 0.6, (120, 2))
    noise = np.random.default_rng(seed + 1).normal(0, 0.05, (120, 2))
    values = np.clip(ground + noise + lift, 0, 1)
    known = {"system": name, "space": None, "dataset": "d", "split": "test", "documents": 9,
             "queries": QUERIES, "clusters": CLUSTERS,
             "cohorts": {"query.language": ("de", "en", "en") * 40},
             "values": dict(zip(METRICS, values.T, strict=True))}  # fmt: skip
    return Scores(**(known | facts))  # type: ignore[arg-type]


FOUND = {
    "base": scores("base", costs={"median_seconds": 0.002, "parameters": 22_700_000.0}),
    "twin": scores("twin", seed=1, costs={"median_seconds": 0.25}),
    "up": scores("up", 0.1, seed=2),
    "down": scores("down", -0.1, seed=3),
}


def test_what_differs_is_told_from_what_does_not() -> None:
    found = compare(FOUND, reference="base", metrics=METRICS)
    base, twin, up, down = found.systems
    assert base.differences == {}
    for metric in METRICS:
        assert [s.differences[metric].verdict for s in (twin, up, down)] == [
            "unclear", "better", "worse"]  # fmt: skip
        gap = FOUND["up"].values[metric] - FOUND["base"].values[metric]
        assert up.differences[metric].estimate == estimate(gap, CLUSTERS, span=(-1, 1))
        assert up.means[metric].mean == pytest.approx(FOUND["up"].values[metric].mean())
    assert (found.queries, found.clusters) == (120, 60)
    assert headline(found).startswith("base reaches nDCG@10 0.4")
    assert "better: up (+0.1" in headline(found)
    assert "worse: down (-0" in headline(found)
    assert "no difference that holds: twin" in headline(found)


def test_a_system_is_no_better_than_itself() -> None:
    found = compare({"a": FOUND["base"], "b": FOUND["base"]}, reference="a", metrics=METRICS)
    assert found.systems[1].differences["map_score"].p == 1
    assert found.systems[1].differences["map_score"].estimate.mean == 0


def test_the_order_of_queries_does_not_matter() -> None:
    order = list(range(120))
    random.Random(0).shuffle(order)
    mixed = replace(
        FOUND["up"],
        queries=tuple(QUERIES[i] for i in order),
        values={name: of[order] for name, of in FOUND["up"].values.items()},
    )
    straight = compare(FOUND, reference="base", metrics=METRICS)
    assert compare({**FOUND, "up": mixed}, reference="base", metrics=METRICS) == straight


def test_cohorts_are_means_of_their_own_queries() -> None:
    found = compare(FOUND, reference="base", metrics=METRICS)
    english, german = found.cohorts  # the largest first
    assert (german.field, german.value, german.n) == ("query.language", "de", 40)
    assert english.n == 80
    expected = [s.values["ndcg_at_10_score"][::3].mean() for s in FOUND.values()]
    assert [mean.mean for mean in german.means] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"dataset": "e"}, "dataset d.*found dataset e"),
        ({"split": "dev"}, "split test.*found split dev"),
        ({"documents": 8}, "documents 9.*found documents 8"),
        ({"queries": (*QUERIES[:-1], "other")}, "'other', for example"),
        ({"queries": (*QUERIES[:-1], "q0")}, "'q119', for example"),
        ({"queries": QUERIES[:-1]}, "expected the 120 queries of base, found 119"),
        ({"values": {m: np.array([0.5] * 7 + [math.nan] * 113) for m in METRICS}}, "nan.*'q7'"),
    ],
)
def test_another_test_set_is_refused(facts: dict[str, object], says: str) -> None:
    with pytest.raises(DataMismatch, match=f"other: .*{says}"):
        compare({**FOUND, "other": scores("other", **facts)}, reference="base", metrics=METRICS)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BadSetting, match="expected one of base, twin, up, down, got 'bass'"):
        compare(FOUND, reference="bass", metrics=METRICS)
    with pytest.raises(BadSetting, match=r"base has no mrr_score. It has ndcg_at_10_score"):
        compare(FOUND, reference="base", metrics=["mrr_score"])


def test_nothing_that_is_not_real_holds_more_often_than_it_may() -> None:
    held = 0
    for seed in range(50):
        same = {str(i): scores(str(i), seed=100 * seed + i) for i in range(5)}
        found = compare(same, reference="0", metrics=METRICS, seed=seed)
        held += any(d.holds for one in found.systems for d in one.differences.values())
    assert held <= 7  # of 50 at 0.05; uncorrected it would be some 15


def test_pages_say_what_was_found(tmp_path: Path) -> None:
    odd = {**FOUND, "a<b|c": FOUND["up"], "two\nlines\\|": FOUND["up"]}
    found = compare(odd, reference="base", metrics=METRICS)
    write_comparison(found, tmp_path, ["A <note>."])
    page = (tmp_path / "compare.html").read_text()
    assert not re.search("<(script|link|img)|https?://", page), "it needs nothing beside itself"
    cells = [html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)]
    assert cells.count("a<b|c") >= 3
    assert page.count('<td class="better">') == 6
    assert page.count('<td class="worse">') == 2
    assert "query.language = de" in cells
    facts = json.loads((tmp_path / "compare.json").read_text())
    up = facts["systems"][2]["differences"]["map_score"]
    assert 0 < up["p"] < up["adjusted_p"] < 0.05
    assert facts["notes"] == ["A <note>."]
    text = (tmp_path / "compare.md").read_text()
    assert "| a&lt;b\\|c |" in text
    assert "| two lines\\\\\\| |" in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            rows = block.replace("\\|", "").splitlines()
            assert len({row.count("|") for row in rows}) == 1


def test_costs_that_nobody_knows_are_dashes_or_left_out() -> None:
    table = cost_table(compare(FOUND, reference="base", metrics=METRICS))
    assert table.titles == ("cost", "up", "twin", "base", "down")  # the best first
    cells = {row[0]: dict(zip(table.titles, row, strict=True)) for row in table.rows}
    assert set(cells) == {"ms a query", "million parameters"}
    assert cells["ms a query"] | {"cost": ""} == {
        "cost": "", "base": "2.00", "twin": "250", "up": NOTHING, "down": NOTHING}  # fmt: skip
    assert cells["million parameters"]["base"] == "22.7"
