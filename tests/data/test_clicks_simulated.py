"""A log whose truth is known: made from real judgments, with bias, noise and robots put in."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfar.data.clicks.reader import ClickReader
from nearfar.data.clicks.settings import Clicks
from nearfar.records import Judgment

RANKS = 8
EXAMINED = np.arange(1, RANKS + 1) ** -1.0  # the truth that the estimate must find
NOISE, ATTRACTION = 0.12, 0.4  # chance of a click on a wrong and on a right document, once seen
QUERIES, PAGES_PER_QUERY = 150, 200


@dataclass
class World:
    """Real questions, each with its answer and wrong documents, and the log made of them."""

    log: Path
    corpus: Path
    right: set[tuple[str, str]]  # text of the query, id of the document
    robot_pages: int
    clicks: Mapping[tuple[str, str], list[int]] = field(default_factory=dict)  # shown, clicked


def simulate(folder: Path, corpus: Path, asked: Mapping[str, str], others: list[str]) -> World:
    """Write a log in which right documents are mostly shown low, where few people look."""
    dice = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    counts: dict[tuple[str, str], list[int]] = {}
    for place, (query, answer) in enumerate(asked.items()):
        wrong = [d for d in dice.choice(others, RANKS, replace=False) if d != answer]
        candidates = [answer, *wrong[: RANKS - 1]]
        liking = np.where(np.arange(RANKS) == 0, -2.0, dice.normal(0, 1, RANKS))
        for number in range(PAGES_PER_QUERY):
            order = np.argsort(-(liking + dice.gumbel(0, 0.7, RANKS)))
            shown = [str(candidates[i]) for i in order]
            attracts = np.where(order == 0, ATTRACTION, NOISE)
            clicked = dice.random(RANKS) < EXAMINED * attracts
            for document, click in zip(shown, clicked, strict=True):
                count = counts.setdefault((query, document), [0, 0])
                count[0] += 1
                count[1] += int(click)
            rows.append(_row(query, shown, clicked, f"s{place}-{number}", len(rows) * 7.0))
    humans = len(rows)
    for number in range(300):  # in five minutes, and clicking whatever is there
        query = list(asked)[number % len(asked)]
        shown = [str(d) for d in dice.choice(others, RANKS, replace=False)]
        rows.append(_row(query, shown, np.ones(RANKS, bool), "robot", float(number)))
    dice.shuffle(rows)  # type: ignore[arg-type]
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    right = set(asked.items())
    return World(log, corpus, right, len(rows) - humans, counts)


def _row(query: str, shown: list[str], clicked: Any, session: str, time: float) -> dict[str, Any]:
    clicks = [d for d, c in zip(shown, clicked, strict=True) if c]
    return {
        "query": query,
        "shown": shown,
        "clicks": clicks,
        "session": session,
        "time": 1.7e9 + time,
    }


@pytest.fixture(scope="module")
def world(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    source = real_data / "medquad"
    with gzip.open(source / "queries.jsonl.gz", "rt") as file:
        texts = {row["_id"]: row["text"] for row in map(json.loads, file)}
    lines = (source / "qrels" / "train.tsv").read_text().splitlines()[1:]
    answers = [(texts[q], d) for q, d, _ in (line.split("\t") for line in lines)]
    asked = dict(answers[:: len(answers) // QUERIES][:QUERIES])
    others = sorted({d for _, d in answers})
    return simulate(tmp_path_factory.mktemp("clicks"), source / "corpus.jsonl.gz", asked, others)


def auc(scores: Mapping[tuple[str, str], float], right: set[tuple[str, str]]) -> float:
    """Return how often a right document of a query stands above a wrong one; ties count half."""
    by_query: dict[str, list[tuple[float, bool]]] = {}
    for (query, document), score in scores.items():
        by_query.setdefault(query, []).append((score, (query, document) in right))
    wins = [
        (a > b) + (a == b) / 2
        for found in by_query.values()
        for a, good in found
        for b, other in found
        if good and not other
    ]
    return float(np.mean(wins))


def judged(world: World, **settings: Any) -> tuple[list[Judgment], dict[str, str], ClickReader]:
    reader = ClickReader(world.log, documents=world.corpus, settings=Clicks(**settings))
    records = list(reader.records())
    texts = {r.id: r.content for r in records if not isinstance(r, Judgment)}
    return [r for r in records if isinstance(r, Judgment)], texts, reader


def test_grades_order_better_than_click_through_where_right_answers_are_shown_low(
    world: World,
) -> None:
    judgments, texts, _ = judged(world, least_share=0, least_clicks=1)
    debiased = dict.fromkeys(world.clicks, 0.0)
    debiased |= {(texts[j.query_id], j.document_id): j.grade for j in judgments}
    raw = {pair: clicked / shown for pair, (shown, clicked) in world.clicks.items()}
    assert set(debiased) == set(raw)
    assert auc(debiased, world.right) > 0.95
    assert auc(raw, world.right) < 0.8
    taken_as_they_are, texts, _ = judged(
        world, least_share=0, least_clicks=1, propensity="power", eta=0
    )
    biased = dict.fromkeys(world.clicks, 0.0)
    biased |= {(texts[j.query_id], j.document_id): j.grade for j in taken_as_they_are}
    assert auc(biased, world.right) == pytest.approx(auc(raw, world.right), abs=0.05)


def test_the_propensities_are_found_in_the_log_alone(world: World) -> None:
    _, _, reader = judged(world)
    said = next(s for s in reader.notes.sentences if s.startswith("How often a rank"))
    found = [float(p) for p in re.findall(r"\d: (\d\.\d\d)", said)]
    assert found == pytest.approx(EXAMINED, abs=0.04)


def test_what_is_judged_is_mostly_right_and_robots_are_counted(world: World) -> None:
    judgments, texts, reader = judged(world)
    best = [j for j in judgments if j.grade == 3]
    right = [(texts[j.query_id], j.document_id) in world.right for j in best]
    assert len(best) == QUERIES
    assert np.mean(right) > 0.85
    passed = [(texts[j.query_id], j.document_id) for j in judgments if j.grade == 0]
    assert not set(passed) & world.right
    robots = reader.notes.left_out["pages shown to robots (over 30 queries in a minute)"]
    assert robots == world.robot_pages
