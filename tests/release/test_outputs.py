"""The verdict in the forms of others: what they read back is what was decided."""

import datetime as dt
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from results import METRIC, pair

from nearfar.errors import BadFile
from nearfar.release.deciding import decide
from nearfar.release.outputs import annotations, junit, junit_error, markdown
from nearfar.release.page import write_page
from nearfar.release.policy import Policy, Waiver
from nearfar.release.verdict import Verdict, read_verdict, write_verdict

TODAY = dt.date(2026, 11, 21)
NASTY = "a|b <i>%$\\x$\n::error title=x,y:z\1\x1b[2J"


@pytest.fixture(scope="module")
def blocked() -> Verdict:
    """Half of the cohorts lost; one has a name that wants to escape; few are in a third."""
    cohorts = {"query.part": (NASTY,) * 200 + ("good",) * 500 + ("few",) * 25}
    candidate, baseline = pair(725, cohorts=cohorts)
    values = candidate.values[METRIC].copy()
    values[:200] -= 0.2
    values[200:] += 0.1
    values = values.clip(0, 1)
    return decide(Policy(), replace(candidate, values={METRIC: values}), baseline, today=TODAY)


def test_junit_has_a_suite_a_rule_and_a_case_a_cohort(blocked: Verdict) -> None:
    root = ET.fromstring(junit(blocked))
    (suite,) = root
    assert suite.attrib["name"] == f"change {METRIC}"
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("4", "1")
    failed = [case for case in suite if case.find("failure") is not None]
    assert len(failed) == 1
    body = failed[0].find("failure")
    assert body is not None
    assert body.text is not None
    assert "changes by -0.2" in body.text
    assert "\1" not in junit(replace(blocked, findings=(replace(blocked.findings[0], rule="\1"),)))
    skipped = [case.attrib["name"] for case in suite if case.find("skipped") is not None]
    assert int(suite.attrib["skipped"]) == len(skipped)


def test_junit_of_what_cannot_be_compared_is_an_error_and_no_failure() -> None:
    root = ET.fromstring(junit_error(NASTY))
    assert root[0].attrib["errors"] == "1"
    assert root.find(".//error") is not None
    assert root.find(".//failure") is None


def test_a_waived_regression_does_not_fail(blocked: Verdict) -> None:
    waived = replace(blocked, findings=tuple(replace(f, waived="x") for f in blocked.findings))
    root = ET.fromstring(junit(waived))
    assert root[0].attrib["failures"] == "0"
    assert not annotations(waived)


def test_annotations_cannot_be_forged_and_are_ten_at_most(blocked: Verdict) -> None:
    lines = annotations(blocked)
    assert lines[0].startswith("::error title=REGRESSION")
    assert all("\n" not in line and "\r" not in line for line in lines)
    title = lines[0].split("title=")[1].split("::")[0]
    assert ":" not in title
    assert "," not in title
    assert "%0A" in title
    many = replace(blocked, findings=blocked.findings * 20)
    assert len(annotations(many)) == 10


def test_markdown_keeps_every_finding_in_one_row(blocked: Verdict) -> None:
    rows = [line for line in markdown(blocked).splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(blocked.findings)
    assert all(row.replace("\\|", "").count("|") == 10 for row in rows)
    assert rows[1].startswith("| ❌")
    assert "<i>" not in markdown(blocked).replace("\\<", "")


def test_a_verdict_is_read_as_it_was_written(tmp_path: Path) -> None:
    waiver = Waiver(metric=METRIC, reason="r", by="b", until=TODAY)
    verdict = decide(Policy(waivers=(waiver,)), *pair(60, 0.05), today=TODAY, runs=3, at="now")
    write_verdict(verdict, tmp_path / "verdict.json")
    assert read_verdict(tmp_path / "verdict.json") == verdict
    facts = json.loads((tmp_path / "verdict.json").read_text())
    assert (facts["outcome"], facts["exit_code"]) == ("PASS", 0)


def test_a_verdict_that_was_made_better_by_hand_is_refused(
    blocked: Verdict, tmp_path: Path
) -> None:
    path = tmp_path / "verdict.json"
    findings = tuple(replace(one, cohort=one.cohort.encode("ascii", "ignore").decode())
                     for one in blocked.findings)  # fmt: skip
    write_verdict(replace(blocked, findings=findings), path)
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"outcome": "PASS"}))
    with pytest.raises(BadFile, match="says PASS"):
        read_verdict(path)
    for found in facts["findings"]:
        found["outcome"] = "regression"
    path.write_text(json.dumps(facts | {"outcome": "PASS", "action": "release", "exit_code": 0}))
    with pytest.raises(BadFile, match="no outcome 'regression'"):
        read_verdict(path)
    with pytest.raises(BadFile, match="nearfar gate"):
        read_verdict(tmp_path / "none.json")


def test_the_page_shows_every_finding_and_nothing_is_read_as_markup(
    blocked: Verdict, tmp_path: Path
) -> None:
    write_page(blocked, tmp_path / "verdict.html")
    page = (tmp_path / "verdict.html").read_text()
    assert page.count("<tr>") == 1 + len(blocked.findings)
    assert "<i>" not in page
    assert page.count("<svg") == 1
    alone = decide(Policy(), *pair(12), today=TODAY)
    write_page(alone, tmp_path / "small.html")
    assert "<svg" not in (tmp_path / "small.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
