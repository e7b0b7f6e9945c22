"""A plan: what each cohort lacks, and a sample that fills it."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled import dataset
from results import METRIC, pair, result
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.data.splits import Shares, split_of_group
from nearfar.errors import BadRecord, BadSetting, DataMismatch
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.scores import Scores
from nearfar.records import Query
from nearfar.release.drawing import dealt, draw, pooled, shuffled
from nearfar.release.logged import read_logged
from nearfar.release.needs import Differences, Divided, Need, needs
from nearfar.release.planning import Asked, make_plan
from nearfar.release.policy import ALL, Change, Policy
from nearfar.release.queue import read_queue, write_queue

NOBODY = Divided(ids=(), labels={})


def need(cohort: str, labelled: int, needed: int) -> Need:
    return Need(metric=METRIC, cohort=cohort, labelled=labelled, deviation=0.3, known="assumed",
                rules_out=None, effect=0.02, needed=needed)  # fmt: skip


def found_by(*rankings: dict[str, list[str]]):  # type: ignore[no-untyped-def]
    """Systems that find the same for every query that they do not know."""
    usual = [f"d{n}" for n in range(4)]

    def find(task: Task, depth: int) -> list[dict[str, list[str]]]:
        return [{q.id: one.get(q.id, usual) for q in task.queries} for one in rankings or ({},)]

    return find


def test_what_a_cohort_has_and_lacks() -> None:
    languages = ["de"] * 30 + ["fr"] * 5 + ["en"] * 765
    candidate, baseline = pair(800, cohorts={"query.language": languages})
    labelled = Divided(ids=candidate.queries, labels=candidate.cohorts)
    differences = Differences(Policy(), (candidate, baseline), 0.3)
    could = Divided(ids=("new",), labels={"query.language": ("it",)})
    found = {one.cohort: one for one in needs(Policy(), labelled, could, differences)}
    values = candidate.values[METRIC] - baseline.values[METRIC]
    assert list(found) == [ALL, *(f"query.language = {name}" for name in ("de", "en", "fr", "it"))]
    german, french = found["query.language = de"], found["query.language = fr"]
    assert german.deviation == pytest.approx(values[:30].std(ddof=1))
    # What no formula of ours says: the usual one, beside what the unseen query takes (1 / n).
    usual = 2.487 * german.deviation / math.sqrt(30)
    assert german.rules_out is not None
    assert usual < german.rules_out < usual + 2.7 / 30
    assert (french.known, german.known) == ("of all queries", "measured")
    assert french.deviation == pytest.approx(values.std(ddof=1))
    assert (french.labelled, french.missing) == (5, french.needed - 5)
    italian = found["query.language = it"]
    assert (italian.labelled, italian.rules_out, italian.missing) == (0, None, italian.needed)


def test_the_effect_of_the_policy_or_another_and_only_its_fields() -> None:
    labelled = Divided(ids=("a",), labels={"query.x": ("1",), "query.y": ("2",)})
    policy = Policy(changes=(Change(metric=METRIC, margin=0.05, cohorts=("query.y",)),))
    differences = Differences(policy, None, 0.2)
    found = needs(policy, labelled, NOBODY, differences)
    assert [one.cohort for one in found] == [ALL, "query.y = 2"]
    assert {(one.effect, one.known) for one in found} == {(0.05, "assumed")}
    smaller = needs(policy, labelled, NOBODY, differences, effect=0.02)
    assert smaller[0].needed > 4 * found[0].needed
    with pytest.raises(BadSetting, match="effect"):
        needs(policy, labelled, NOBODY, differences, effect=0.0)
    with pytest.raises(BadSetting, match="deviation"):
        Differences(policy, None, math.nan)


def test_results_of_other_queries_are_refused() -> None:
    candidate, baseline = pair(100)
    with pytest.raises(DataMismatch, match="found none of 1, such as 'z'"):
        needs(Policy(), Divided(ids=("z",), labels={}), NOBODY,
              Differences(Policy(), (candidate, baseline), 0.3))  # fmt: skip
    few = Differences(Policy(), pair(19), 0.25)
    assert few.deviation(METRIC, ["q1"]) == (0.25, "assumed")
    with pytest.raises(DataMismatch, match="digest"):
        Differences(Policy(), (candidate, replace(baseline, dataset="other")), 0.3)


def test_the_sample_goes_where_most_is_lacking_one_of_each_cluster_first() -> None:
    ids = tuple(f"u{n}" for n in range(60))
    labels = {"query.l": tuple("de" if n < 20 else "en" for n in range(60))}
    clusters = [f"c{n // 2}" for n in range(60)]  # two of each
    wanted = [need(ALL, 50, 100), need("query.l = de", 0, 15), need("query.l = en", 50, 55)]
    drawn = draw(Divided(ids=ids, labels=labels), clusters, wanted, most=40)
    of_cohort = Counter("de" if int(one.query_id[1:]) < 20 else "en" for one in drawn)
    assert len({one.query_id for one in drawn}) == len(drawn) == 40
    assert of_cohort["de"] > 10  # a third of the pool, and most of what lacks
    in_order = [int(one.query_id[1:]) // 2 for one in drawn]
    assert len(set(in_order[:30])) == 30  # each cluster once, before any comes twice
    assert drawn[0].cohort == "query.l = de"
    more = draw(Divided(ids=ids, labels=labels), clusters, wanted, most=60)
    assert more[:40] == drawn  # a larger budget moves nothing
    assert draw(Divided(ids=ids, labels=labels), clusters, wanted, most=40, seed=1) != drawn


def test_a_cluster_that_is_labelled_comes_after_new_ones_and_nothing_is_drawn_in_vain() -> None:
    pool = Divided(ids=("a", "b"), labels={})
    for old, first in (("x", "b"), ("y", "a")):
        drawn = draw(pool, ["x", "y"], [need(ALL, 0, 2)], most=2, seen={old: 3})
        assert drawn[0].query_id == first
    assert draw(pool, ["x", "y"], [need(ALL, 2, 2)], most=2) == []
    assert len(draw(pool, ["x", "y"], [need(ALL, 1, 2)], most=2)) == 1
    assert draw(NOBODY, [], [need(ALL, 0, 2)], most=2) == []


def test_a_pool_says_nothing_of_who_found_what() -> None:
    one, other = {"q": ["a", "b", "c"]}, {"q": ["c", "d", "e"]}
    found = pooled([one, other], "q", 2)
    assert sorted(found) == ["a", "b", "c", "d"]
    swapped = pooled([other, one], "q", 2)
    assert shuffled("q", found, 0) == shuffled("q", swapped, 0)
    assert shuffled("q", found, 0) not in (found, swapped)


def test_queries_are_dealt_evenly_and_a_share_of_them_twice() -> None:
    ids = [f"q{n}" for n in range(100)]
    for_whom = dealt(ids, ("ann", "bob", "eve"), 0.2, 0)
    assert sum(len(names) == 2 for names in for_whom.values()) == 20
    load = Counter(name for names in for_whom.values() for name in names)
    assert max(load.values()) - min(load.values()) <= 1
    assert set(dealt(ids, (), 0.2, 0).values()) == {()}


def new_queries(count: int) -> list[Query]:
    return [Query(id=f"n{n}", content=f"new tea {n}", fields={"language": "de"})
            for n in range(count)]  # fmt: skip


def test_new_queries_keep_to_the_split_of_their_hash(tmp_path: Path) -> None:
    log = [
        *new_queries(60),
        Query(id="twin", content="Tea  0?"),  # q0 in other spaces
        Query(id="kin", content="of a session that was learned from", group="session 7"),
        Query(id="q1", content="tea 1?"),
    ]
    asked = Asked(share=0.5, budget=400, depth=4)
    plan = make_plan(dataset(tmp_path / "d"), Policy(), asked, found_by(), logged=log)
    ours = {q.id for q in new_queries(60)
            if split_of_group(q.id, Shares(test=0.5)) == "test"}  # fmt: skip
    assert {item.query_id for item in plan.items} == ours
    assert plan.unlabelled == len(ours)
    assert plan.elsewhere == 60 - len(ours) + 1
    assert {item.split for item in plan.items} == {"test"}
    assert plan.items[0].content.startswith("new tea")
    assert plan.items[0].why == "new query of query.language = de"


def test_a_query_is_marked_whole_or_not_at_all(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", more=new_queries(60))
    strange = found_by({}, {f"n{n}": ["not there", "d9"] for n in range(60)})
    plan = make_plan(data, Policy(), Asked(share=0.5, budget=12, depth=4), strange)
    of_query = Counter(item.query_id for item in plan.items)
    assert set(of_query.values()) == {5}
    assert len(plan.items) == 10
    assert sum(count for _, count in plan.drawn) == 2
    assert not plan.items[0].content  # the dataset has it
    assert "not there" not in {item.document_id for item in plan.items}


def judged_less(data_digest: str) -> tuple[Scores, Scores]:
    """Two results of which the candidate's hits are hardly judged."""
    values = np.linspace(0.2, 0.8, 6)
    more = {"dataset": data_digest, "documents": 10}
    old = result(values, system="old", hits=tuple((f"d{n}", "d8") for n in range(6)), **more)
    new = result(values, system="new", hits=tuple((f"d{n}", "d7", "gone") for n in range(6)),
                 **more)  # fmt: skip
    judged = "judged_at_10_score"
    return (replace(new, values={**new.values, judged: np.full(6, 0.1)}),
            replace(old, values={**old.values, judged: np.full(6, 0.5)}))  # fmt: skip


def test_what_the_gate_calls_unjudged_comes_first_from_both_sides(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d", more=new_queries(60))
    results = judged_less(data.digest)
    plan = make_plan(data, Policy(), Asked(share=0.5, budget=16, depth=4), found_by(),
                     results=results)  # fmt: skip
    first = plan.items[:12]
    assert {item.pair for item in first} == {(f"q{n}", d) for n in range(6) for d in ("d7", "d8")}
    assert plan.unjudged == 12
    assert {item.why for item in first} == {"found, and never judged"}
    assert len(plan.items) == 16
    enough = tuple(replace(one, values={**one.values, "judged_at_10_score": np.ones(6)})
                   for one in results)  # fmt: skip
    plan = make_plan(data, Policy(), Asked(), found_by(), results=(enough[0], enough[1]))
    assert plan.unjudged == 0


def test_a_queue_comes_back_as_it_was_and_names_bad_lines(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d")
    asked = Asked(share=0.8, budget=40, depth=4, labellers=("ann", "bob"))
    plan = make_plan(data, Policy(), asked, found_by(), logged=new_queries(30))
    path = tmp_path / "queue.jsonl"
    write_queue(plan.items, path)
    assert tuple(replace(item, line=0) for item in read_queue(path)) == plan.items
    good = {"query_id": "q", "document_id": "d"}
    for bad, message in (
        ({**good, "split": "train"}, "test or dev"), ({"query_id": "q"}, "document_id"),
        ({**good, "quary": 1}, "quary"), ({**good, "labellers": "ann"}, "list of names"),
        ({**good, "query": {"content": " "}}, "a text in content"), (good, "of line 1 again"),
    ):  # fmt: skip
        path.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
        with pytest.raises(BadRecord, match=rf"queue.jsonl:2: .*{message}"):
            read_queue(path)


def test_a_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"query": "tea", "session": 7, "language": "de", "clicked": ["d1"]}\n{"a": 1}')
    log = read_logged(path)
    first = next(log)
    assert (first.content, first.group, dict(first.fields)) == ("tea", "7", {"language": "de"})
    assert (len(first.id), first.source) == (20, "log.jsonl:1")
    with pytest.raises(BadRecord, match=r"log.jsonl:2: expected a text"):
        next(log)


def test_no_session_in_a_log_is_no_group_that_all_share(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"query": "tea", "session": null, "id": 0}\n'
                    '{"query": "pot", "group": null, "session": 0, "id": null}\n')  # fmt: skip
    first, second = read_logged(path)
    assert (first.id, first.group, second.group) == ("0", "", "0")
    assert len(second.id) == 20


def test_the_command_says_what_is_missing_and_writes_the_queue(tmp_path: Path) -> None:
    dataset(tmp_path / "d", more=new_queries(60))
    command = ["plan", str(tmp_path / "d"), "--queue", str(tmp_path / "q.jsonl"),
               "--share", "0.5", "--budget", "30"]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "query.language" in done.output
    count = len(read_queue(tmp_path / "q.jsonl"))
    facts = json.loads((tmp_path / "plan.json").read_text())
    assert 0 < count == facts["pairs"] <= 30
    assert {one["cohort"] for one in facts["needs"]} >= {ALL, "query.language = de"}
    for wrong, message in (
        (["--candidate", "x"], "go together"), (["--split", "train"], "--split"),
        (["--overlap", "2"], "--overlap"), (["--cohort", "query.lang"], "query.language"),
        (["--system", "run:nope.trec"], "no file"),
    ):  # fmt: skip
        failed = CliRunner().invoke(app, [*command, *wrong])
        assert message in str(failed.exception), failed.output
