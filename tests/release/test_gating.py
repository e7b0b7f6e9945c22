"""The gate on files: the policy, both results, the ledger, and the exit code of the command."""

import datetime as dt
import json
import threading
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from results import METRIC, pair
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadSetting, DataMismatch
from nearfar.evaluation.scores import write_scores
from nearfar.pipeline.gating import LEDGER, Compared, gate, read_policy
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.release.ledger import enter, runs_on
from nearfar.release.marks import wait_for
from nearfar.release.verdict import read_verdict

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
POLICY = """
insufficient = "canary"
[[changes]]
metric = "ndcg_at_10_score"
margin = 0.03
cohorts = []
[[waivers]]
metric = "ndcg_at_10_score"
reason = "new catalogue"
by = "kim"
until = 2026-12-24
"""


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    candidate, baseline = pair(800)
    write_scores(candidate, tmp_path / "new/scores")
    write_scores(baseline, tmp_path / "old")
    return Compared(candidate=tmp_path / "new", baseline=tmp_path / "old")


def lost(compared: Compared) -> None:
    """Let the candidate be worse."""
    write_scores(pair(800, 0.05)[0], compared.candidate / "scores", replace=True)


def test_a_verdict_is_written_and_remembered(compared: Compared, tmp_path: Path) -> None:
    verdict = gate(None, compared, tmp_path / "out", now=NOW)
    assert read_verdict(tmp_path / "out/verdict.json") == verdict
    assert (verdict.outcome, verdict.runs, verdict.at) == ("PASS", 1, "2026-11-21T12:00:00+00:00")
    assert "PASS" in (tmp_path / "out/verdict.md").read_text()
    assert ET.parse(tmp_path / "out/junit.xml").getroot()[0].attrib["failures"] == "0"


def test_the_ledger_counts_candidates_and_no_repetitions(
    compared: Compared, tmp_path: Path
) -> None:
    for _ in range(2):
        assert gate(None, compared, tmp_path / "out", now=NOW).runs == 1
    lost(compared)
    assert gate(None, compared, tmp_path / "out", now=NOW).runs == 2
    lines = (tmp_path / "out/ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["PASS", "REGRESSION"]
    assert runs_on(tmp_path / "out/ledger.jsonl", "another set", "test", "x") == 1


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ({"dataset": 1}, "the dataset 1"),
        ({"candidate": ["x"]}, r"the candidate \['x'\]"),
        ({"candidate": {}}, "the candidate {}"),
        ({"policy": None}, "the policy None"),
        ({"split": ...}, "no split"),
        ({"baseline": ..., "policy": ...}, "no baseline, no policy"),
    ],
)
def test_a_run_that_was_changed_by_hand_is_told_by_its_line(
    compared: Compared, tmp_path: Path, damage: dict[str, object], found: str
) -> None:
    ledger = tmp_path / "l"
    gate(None, compared, ledger=ledger, now=NOW)
    row = json.loads(ledger.read_text()) | damage
    line = json.dumps({key: value for key, value in row.items() if value is not ...})
    ledger.write_text(ledger.read_text() + line + "\n")
    with pytest.raises(BadFile, match=rf"l:2: .*baseline may be null\), found {found} in .*Mend"):
        gate(None, compared, ledger=ledger, now=NOW)


@pytest.mark.parametrize("line", ["[]", "null", "7", '"x"', "{", ""])
def test_a_line_that_is_no_run_is_told(compared: Compared, tmp_path: Path, line: str) -> None:
    verdict = gate(None, compared, now=NOW)
    (tmp_path / "l").write_text(f"{line}\n{{}}\n")
    with pytest.raises(BadFile, match="l:1: expected a run of the gate"):
        enter(tmp_path / "l", verdict)
    (tmp_path / "l").write_bytes(b"\xff")
    with pytest.raises(BadFile, match="lines of JSON in UTF-8"):
        runs_on(tmp_path / "l", "d", "test", "x")


def test_a_ledger_without_a_last_end_of_line_stays_a_ledger(
    compared: Compared, tmp_path: Path
) -> None:
    ledger = tmp_path / "l"
    gate(None, compared, ledger=ledger, now=NOW)
    ledger.write_text(ledger.read_text().rstrip("\n"))
    lost(compared)
    assert gate(None, compared, ledger=ledger, now=NOW).runs == 2
    assert gate(None, compared, ledger=ledger, now=NOW).runs == 2
    assert len(ledger.read_text().splitlines()) == 2


def test_a_ledger_is_read_whatever_systems_are_called(compared: Compared, tmp_path: Path) -> None:
    for name in ("new\u2028one", "new\x85two"):
        candidate = replace(pair(800)[0], system=name)
        write_scores(candidate, compared.candidate / "scores", replace=True)
        assert gate(None, compared, ledger=tmp_path / "l", now=NOW).runs == 1


def test_a_gate_waits_while_another_enters_its_run(compared: Compared, tmp_path: Path) -> None:
    verdict = gate(None, compared, now=NOW)
    path = tmp_path / "l"
    with path.open("a", encoding="utf-8") as file:
        wait_for(file.fileno())
        other = threading.Thread(target=enter, args=(path, verdict))
        other.start()
        other.join(0.2)
        assert other.is_alive()
        assert path.read_text() == ""
    other.join(10)
    assert runs_on(path, verdict.dataset, verdict.split, verdict.candidate.scores) == 1
    assert len(path.read_text().splitlines()) == 1


def test_a_policy_is_read_with_its_dates(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    policy = read_policy(path)
    assert policy.waivers[0].until == dt.date(2026, 12, 24)
    assert (policy.changes[0].margin, policy.changes[0].cohorts) == (0.03, ())
    for text, message in (("marjin = 1", "marjin"), ("[[changes]]\nmargin = 1", "metric"),
                          ("alpha = 2", "alpha"),
                          (POLICY.replace("0.03", "3"), r"policy.toml: changes.margin of .* 3"),
                          ("a = [", "TOML")):  # fmt: skip
        path.write_text(text)
        with pytest.raises((BadFile, BadSetting), match=message):
            read_policy(path)


def test_what_cannot_be_compared_leaves_no_verdict_of_before(
    compared: Compared, tmp_path: Path
) -> None:
    gate(None, compared, tmp_path / "out", now=NOW)
    candidate = replace(pair(800)[0], dataset="other")
    write_scores(candidate, compared.candidate / "scores", replace=True)
    with pytest.raises(DataMismatch, match="digest"):
        gate(None, compared, tmp_path / "out", now=NOW)
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"junit.xml", LEDGER}
    assert "digest" in (tmp_path / "out/junit.xml").read_text()


def test_what_cannot_be_read_leaves_no_verdict_of_before(
    compared: Compared, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("marjin = 1")
    for policy, side, error in ((tmp_path / "bad.toml", compared.candidate, BadSetting),
                                (tmp_path / "no.toml", compared.candidate, BadFile),
                                (None, tmp_path / "nowhere", BadFile)):  # fmt: skip
        gate(None, compared, tmp_path / "out", now=NOW)
        with pytest.raises(error) as told:
            gate(policy, replace(compared, candidate=side), tmp_path / "out", now=NOW)
        assert {one.name for one in (tmp_path / "out").iterdir()} == {"junit.xml", LEDGER}
        said = ET.parse(tmp_path / "out/junit.xml").find(".//error")
        assert said is not None
        assert said.text == str(told.value)


def test_another_space_is_refused(compared: Compared) -> None:
    assert gate(None, replace(compared, space="s" * 16), now=NOW).outcome == "PASS"
    with pytest.raises(DataMismatch, match="the space t"):
        gate(None, replace(compared, space="t" * 16), now=NOW)


@pytest.mark.parametrize(
    ("id_", "content", "group", "leaks"),
    [("q3", "a", "", True), ("x", "tested 4", "", True), ("x", " Tested  4", "", True),
     ("x", "a", "q5", True),
     ("x", "a", "", False)],
)  # fmt: skip
def test_what_was_learned_from_is_not_measured(
    compared: Compared, tmp_path: Path, id_: str, content: str, group: str, leaks: bool
) -> None:
    _write(tmp_path / "tested", [Query(id=f"q{i}", content=f"tested {i}") for i in range(6)])
    _write(tmp_path / "mined", [Query(id=id_, content=content, group=group)])
    for side, one in zip((compared.candidate / "scores", tmp_path / "old"), pair(800), strict=True):
        digest = Dataset.open(tmp_path / "tested").digest
        write_scores(replace(one, dataset=digest), side, replace=True)
    compared = replace(compared, dataset=tmp_path / "tested", trained_on=(tmp_path / "mined",))
    if not leaks:
        assert gate(None, compared, now=NOW).outcome == "PASS"
        return
    with pytest.raises(DataMismatch, match="nothing was learned from"):
        gate(None, compared, now=NOW)


def test_what_is_learned_from_is_no_test_set(compared: Compared) -> None:
    for side, one in zip(("scores", "../old"), pair(800, split="train"), strict=True):
        write_scores(one, compared.candidate / side, replace=True)
    with pytest.raises(DataMismatch, match="found train"):
        gate(None, compared, now=NOW)


def test_texts_are_looked_for_in_the_dataset_that_was_measured_on(
    compared: Compared, tmp_path: Path
) -> None:
    _write(tmp_path / "other", [Query(id="q0", content="a")])
    with pytest.raises(DataMismatch, match="that was measured on"):
        gate(None, replace(compared, dataset=tmp_path / "other"), now=NOW)


def _write(folder: Path, queries: list[Query]) -> None:
    with write_dataset(folder, licence="unknown", parents=[]) as writer:
        writer.add_document(Document(id="d", content="d"))
        for query in queries:
            writer.add_query(query)
            origin = Origin(kind="human", source="here")
            writer.add_judgment(Judgment(query_id=query.id, document_id="d", grade=1.0,
                                         origin=origin, split="train"))  # fmt: skip


def test_exit_codes_are_those_that_a_pipeline_reads(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    def code(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [
            "gate", str(tmp_path / "out"), "--candidate", str(compared.candidate),
            "--baseline", str(compared.baseline), *more,
        ])  # fmt: skip
        return done.exit_code, done.output

    assert code()[0] == 0
    lost(compared)
    blocked, printed = code()
    assert blocked == 3
    assert "::error title=REGRESSION" in printed
    stopped, _, told = printed.partition("::stop-commands::")[2].partition("\n")
    told, _, after = told.partition(f"::{stopped}::\n")  # names of the data are no commands
    assert "nDCG@10" in told
    assert after.startswith("::error")
    policy = tmp_path / "p.toml"
    policy.write_text(POLICY.replace("2026-12-24", "2999-12-24"))
    assert code("--policy", str(policy))[0] == 0
    for side, one in zip((compared.candidate / "scores", compared.baseline), pair(40), strict=True):
        assert side is not None
        write_scores(one, side, replace=True)
    assert code()[0] == 4
    assert summary.read_text().count("## ") == 4


def test_a_score_that_is_no_number_is_refused(compared: Compared, tmp_path: Path) -> None:
    candidate = pair(800)[0]
    candidate.values[METRIC][7] = float("nan")
    write_scores(candidate, compared.candidate / "scores", replace=True)
    with pytest.raises(DataMismatch, match="nan for query 'q7'"):
        gate(None, compared, tmp_path / "out", now=NOW)
