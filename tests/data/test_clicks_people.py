"""Robots and personal data stay out, and no session is both learned and measured."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from making import dataset
from test_clicks import judged, page, read

from nearfar.data.check import check_dataset
from nearfar.data.splits import Shares, split_of_group
from nearfar.errors import BadRecord
from nearfar.fingerprint import content_id
from nearfar.records import Query


def test_robots_are_left_out_with_all_they_saw(tmp_path: Path) -> None:
    people = [page("q", "ab", "a", user=f"u{n}", time=n * 60.0) for n in range(40)]
    named = [page("q", "ab", "b", user="g", user_agent="Googlebot/2.1")]
    named += [page("q", "ab", "b", user="g", user_agent="Mozilla/5.0")]
    named += [page("q", "ab", "b", user="g", time=float(n)) for n in range(31)]  # hasty too
    hasty = [page("q", "ab", "b", user="h", time=6_000.0 + n) for n in range(31)]
    hasty += [page("q", "ab", "b", user="h", time=90_000.0)]
    greedy = [page("q", "abcdef", "abcdef", user="c", time=n * 600.0) for n in range(9)]
    records, notes = read(tmp_path, [*people, *named, *hasty, *greedy])
    assert judged(records)["q", "a"].origin.facts["impressions"] == 40
    assert {reason: n for reason, n in notes.left_out.items() if "robots" in reason} == {
        "pages shown to robots (the user agent says so)": 33,
        "pages shown to robots (over 30 queries in a minute)": 32,
        "pages shown to robots (clicks on nearly everything)": 9,
    }


def test_a_keen_person_is_no_robot(tmp_path: Path) -> None:
    rows = [page("q", "abcde", "abcd", user="u", time=n * 2.0) for n in range(9)]
    rows += [page("q", "abcde", "a", user="u", time=60 + n * 2.0) for n in range(30)]
    rows += [page("q", "abcde", "abc", user="v", time=n * 600.0) for n in range(12)]
    notes = read(tmp_path, rows)[1]
    assert not [reason for reason in notes.left_out if "robots" in reason]


def test_personal_data_is_left_out_and_nobody_is_named_in_what_is_written(
    tmp_path: Path,
) -> None:
    rows = [page("q", "ab", "a", user="SECRET-U", session="SECRET-S")] * 3
    rows += [page("mail jane@example.org", "ab", "a"), page("4111 1111 1111 1111", "ab", "a")]
    rows += [page("q", "ab", "a", ip="SECRET-I"), page("", "ab", "a"), page("q", "", "")]
    records, notes = read(tmp_path, rows)
    for reason in (
        "pages whose query holds an e-mail address",
        "pages whose query holds a long run of digits",
        "pages without a query",
        "pages that showed nothing",
        "values of 'ip' (names a person or a machine)",
    ):
        assert notes.left_out[reason] == 1
    written = json.dumps([asdict(r) for r in records])
    assert "SECRET" not in written
    assert "jane" not in written


def test_a_query_of_too_few_people_is_left_out(tmp_path: Path) -> None:
    rows = [page("rare", "ab", "a", user="u")] * 5
    rows += [page("common", "ab", "a", user=f"u{n % 3}") for n in range(5)]
    rows += [page("sessions", "ab", "a", session=f"s{n}") for n in range(3)]
    rows += [page("unsigned", "ab", "a")] * 5  # who cannot be told apart may be one
    rows += [page("half signed", "ab", "a", user=f"u{n}") for n in range(2)]
    rows += [page("half signed", "ab", "a")] * 2
    records, notes = read(tmp_path, rows, least_people=3)
    found = {("common", "a"), ("sessions", "a"), ("half signed", "a")}
    assert set(judged(records)) == found
    assert notes.left_out["pages of queries of fewer than 3 people"] == 10
    with pytest.raises(BadRecord, match=r"all of 4 shown pages were left out.*fewer than 2 people"):
        read(tmp_path, [page("q", "ab", "a")] * 4, least_people=2)


def test_a_query_is_told_as_the_first_person_asked_it(tmp_path: Path) -> None:
    rows = [page("BUY  Q", "ab", "b", user="g", user_agent="Googlebot/2.1", lang="bot")]
    rows += [page("Buy q", "ab", "a", user="u", lang="en"), page("buy q", "ab", "a", user="v")]
    (query,) = [r for r in read(tmp_path, rows)[0] if isinstance(r, Query)]
    assert (query.content, query.fields, query.source) == ("Buy q", {"lang": "en"}, "log.jsonl:2")


@pytest.mark.parametrize("time", ["2024-01-31", "20240131", 1706659200])
def test_a_log_of_days_tells_no_robot_by_haste(tmp_path: Path, time: object) -> None:
    rows = [page("q", "ab", "a", user="u", time=time)] * 40
    records, notes = read(tmp_path, rows)
    assert ("q", "a") in judged(records)
    assert not [reason for reason in notes.left_out if "robots" in reason]


def of_split(split: str, shares: Shares) -> str:
    """Return a query whose hash puts it in a split."""
    names = (f"query {split} {n}x" for n in range(1_000))
    return next(name for name in names if split_of_group(content_id(name), shares) == split)


def test_a_session_counts_for_one_split_alone(tmp_path: Path) -> None:
    shares = Shares(dev=0.3, test=0.3)
    train, dev, test = (of_split(split, shares) for split in ("train", "dev", "test"))
    rows = [page(query, "ab", "a") for query in (train, dev, test)] * 2
    rows += [page(query, "ab", "a", session="all") for query in (train, dev, test)]
    rows += [page(query, "ab", "a", session="two") for query in (dev, train)]
    rows += [page(train, "ab", "a", session="one"), page(train, "ab", "a", session="one")]
    records, notes = read(tmp_path, rows, shares=shares)
    found = judged(records)
    counted = {query: found[query, "a"].origin.facts["impressions"] for query in (train, dev, test)}
    assert counted == {train: 2 + 2, dev: 2 + 1, test: 2 + 1}
    assert [found[query, "a"].split for query in (train, dev, test)] == ["train", "dev", "test"]
    assert notes.left_out["pages whose session is kept for another split"] == 3


def test_without_sessions_a_day_of_a_user_is_one(tmp_path: Path) -> None:
    shares = Shares(dev=0, test=0.5)
    train, test = of_split("train", shares), of_split("test", shares)
    day = 86_400.0
    rows = [page(train, "ab", "a", user="u", time=time) for time in (0.0, day, day + 9, 2 * day)]
    rows += [page(test, "ab", "a", user="u", time=time) for time in (2 * day + 5, 9 * day)]
    records, notes = read(tmp_path, rows, shares=shares)
    assert judged(records)[train, "a"].origin.facts["impressions"] == 3
    assert notes.left_out["pages whose session is kept for another split"] == 1


def test_a_dataset_of_clicks_has_no_query_in_two_splits(tmp_path: Path) -> None:
    rows = [
        page(f"question {n % 40}?", "abcdef", "abcdef"[n % 6], session=f"s{n // 3}")
        for n in range(2_000)
    ]
    records, _ = read(tmp_path, rows, shares=Shares(dev=0.2, test=0.2))
    made = dataset(tmp_path / "set", records)
    assert set(made.manifest["splits"]) == {"train", "dev", "test"}
    report = check_dataset(made, count_tokens=None, max_tokens=None, cohorts=None)
    assert not [f for f in report.findings if f.name in ("query_leaks", "contradictions")]


def test_split_by_time_measures_what_was_new_at_its_time(tmp_path: Path) -> None:
    rows = [page("old", "ab", "a", time=float(n)) for n in range(8)]
    rows += [page("newer", "ab", "a", time=float(n)) for n in (8, 9)]
    rows += [page("newest", "ab", "a", time=float(n)) for n in (10, 11)]
    rows += [page("old", "ab", "a", time=11.5)] * 2
    records, notes = read(
        tmp_path, rows[::-1], shares=Shares(dev=0.2, test=0.25), split_by_time=True
    )
    found = {pair[0]: j for pair, j in judged(records).items()}
    assert {query: j.split for query, j in found.items()} == {
        "old": "train",
        "newer": "dev",
        "newest": "test",
    }
    assert found["old"].origin.facts["impressions"] == 8
    assert notes.left_out["pages of queries first asked in an older split"] == 2
    with pytest.raises(BadRecord, match="every page needs one; 1 of 15 pages have none"):
        read(tmp_path, [*rows, page("q", "ab", "a")], split_by_time=True)
