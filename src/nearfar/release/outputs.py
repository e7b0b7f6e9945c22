"""A verdict in the forms that machines of others read: JUnit, GitHub, Markdown."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from nearfar.evaluation.measure import NOTHING, SHORT_NAMES
from nearfar.release.markdown import code, plain
from nearfar.release.verdict import Finding, Verdict

ANNOTATIONS = 10  # GitHub shows no more of a step
_SIGNS = {"PASS": "✅", "REGRESSION": "❌", "INSUFFICIENT": "❔"}


def junit(verdict: Verdict) -> str:
    """Return JUnit XML: a suite is a rule, a case a cohort.

    A regression is a failure with its numbers in the body; missing evidence, and what was
    waived, is skipped.
    """
    root = ET.Element("testsuites", name="nearfar gate")
    suites: dict[str, list[Finding]] = {}
    for found in verdict.findings:
        suites.setdefault(_printable(f"{found.kind} {found.rule}"), []).append(found)
    for name, cases in suites.items():
        failed = [one for one in cases if one.outcome == "REGRESSION" and not one.waived]
        skipped = [one for one in cases if one.outcome != "PASS" and one not in failed]
        suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)), errors="0",
                              failures=str(len(failed)), skipped=str(len(skipped)))  # fmt: skip
        for one in cases:
            case = ET.SubElement(suite, "testcase", classname=name, name=_printable(one.cohort))
            if one in failed:
                ET.SubElement(case, "failure", message="REGRESSION").text = _printable(one.sentence)
            elif one in skipped:
                message = _printable(f"{one.outcome} {one.sentence} {one.waived}".strip())
                ET.SubElement(case, "skipped", message=message)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def junit_error(message: str) -> str:
    """Return JUnit XML that says the gate could not judge: neither passed nor failed."""
    root = ET.Element("testsuites", name="nearfar gate")
    suite = ET.SubElement(root, "testsuite", name="integrity", tests="1", failures="0",
                          errors="1", skipped="0")  # fmt: skip
    case = ET.SubElement(suite, "testcase", classname="integrity", name="integrity")
    ET.SubElement(case, "error", message="not judged").text = _printable(message)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def annotations(verdict: Verdict) -> list[str]:
    """Return the worst findings as commands that GitHub shows beside a change."""
    worst = [("error", one) for one in verdict.those("REGRESSION")]
    worst += [("warning", one) for one in verdict.those("INSUFFICIENT")]
    return [
        f"::{level} title={_property(f'{one.outcome} {one.rule} {one.cohort}')}"
        f"::{_message(one.sentence)}"
        for level, one in worst[:ANNOTATIONS]
    ]


def markdown(verdict: Verdict) -> str:
    """Return the whole table, for a step summary, a pull request or a card."""
    baseline = verdict.baseline.system if verdict.baseline else "no baseline"
    lines = [
        f"## {_SIGNS[verdict.outcome]} {verdict.outcome}: {plain(verdict.candidate.system)} "
        f"against {plain(baseline)}",
        "",
        *(f"{plain(sentence)}  " for sentence in verdict.sentences()),
        "",
        "| | rule | cohort | queries | baseline | candidate | change | surely above | must be "
        "above |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
        *_rows(verdict),
        "",
        f"{verdict.queries:,} queries of the {plain(verdict.split)} split of dataset "
        f"{code(verdict.dataset)}; policy {code(verdict.policy_digest)}; candidate number "
        f"{verdict.runs} on this test set.",
    ]
    return "\n".join(lines) + "\n"


def _rows(verdict: Verdict) -> Iterator[str]:
    order = ("REGRESSION", "INSUFFICIENT", "PASS")
    for one in sorted(verdict.findings, key=lambda found: order.index(found.outcome)):
        numbers = (one.baseline, one.candidate)
        signed = (one.difference, one.low, one.bar)
        cells = [
            _SIGNS[one.outcome] + (" waived" if one.waived else ""),
            plain(SHORT_NAMES.get(one.rule, one.rule)),
            plain(one.cohort),
            NOTHING if one.queries is None else f"{one.queries:,}",
            *(NOTHING if number is None else f"{number:.3f}" for number in numbers),
            *(NOTHING if number is None else f"{number:+.3f}" for number in signed),
        ]
        yield f"| {' | '.join(cells)} |"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    """Return a text without the signs that XML cannot hold."""
    return "".join(sign if sign in "\t\n" or _in_xml(ord(sign)) else " " for sign in text)


def _in_xml(code: int) -> bool:
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
