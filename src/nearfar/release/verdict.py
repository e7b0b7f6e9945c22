"""What a gate says: an outcome for each rule and cohort, and one for the candidate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nearfar.errors import BadFile, said
from nearfar.files import whole_file

FORMAT = 1
EXIT_CODES = {"PASS": 0, "REGRESSION": 3, "INSUFFICIENT": 4}

Outcome = Literal["PASS", "REGRESSION", "INSUFFICIENT"]
Kind = Literal["change", "floor", "cost", "sentinel", "judged"]
Action = Literal["release", "block", "hold", "canary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule on one cohort."""

    kind: Kind
    rule: str  # the metric, the cost, or the sentinel
    cohort: str
    outcome: Outcome
    sentence: str  # the same for people, with its numbers
    baseline: float | None = None  # means
    candidate: float | None = None
    difference: float | None = None  # so turned that below 0 is worse
    low: float | None = None  # the bound that decides about PASS
    bar: float | None = None  # what it must lie above
    p: float | None = None  # after Holm, what decides about REGRESSION
    queries: int | None = None
    clusters: int | None = None
    needed: int | None = None  # queries, for a clear answer
    waived: str = ""  # why it does not count, and who said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of the comparison."""

    system: str
    space: Mapping[str, Any] | None
    scores: str  # fingerprint of all its values


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All findings, with everything needed to check them."""

    candidate: Side
    baseline: Side | None
    dataset: str  # digest
    split: str
    queries: int
    negatives: str
    policy: Mapping[str, Any]
    policy_digest: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()  # what no rule decides about, and should be known
    runs: int = 0  # of candidates through the gate on this test set, this one too
    at: str = ""  # when, ISO 8601

    @property
    def outcome(self) -> Outcome:
        """The worst of what counts: a regression, else evidence that is missing, or is none."""
        if not self.findings:
            return "INSUFFICIENT"
        counted = {found.outcome for found in self.findings if not found.waived}
        return next((one for one in ("REGRESSION", "INSUFFICIENT") if one in counted), "PASS")

    @property
    def action(self) -> Action:
        """What to do with the candidate."""
        if self.outcome == "INSUFFICIENT":
            return "canary" if self.policy["insufficient"] == "canary" else "hold"
        return "release" if self.outcome == "PASS" else "block"

    @property
    def exit_code(self) -> int:
        """Return 0 pass, 3 blocked, 4 insufficient evidence."""
        return EXIT_CODES[self.outcome]

    def those(self, outcome: Outcome) -> list[Finding]:
        """Return the findings of an outcome that count, the worst first."""
        found = [one for one in self.findings if one.outcome == outcome and not one.waived]
        return sorted(found, key=lambda one: (one.difference is None, one.difference or 0.0))

    def sentences(self) -> list[str]:
        """Say the outcome, and then all that keeps the candidate from passing."""
        worst = [*self.those("REGRESSION"), *self.those("INSUFFICIENT")]
        passed = len(self.those("PASS"))
        doing = {
            "release": "The candidate may be released",
            "block": "The candidate is blocked",
            "hold": "The candidate is held: the evidence is not enough",
            "canary": "A part of the traffic may try the candidate: the evidence is not enough",
        }[self.action]
        count = f"{passed} of {len(worst) + passed} rules pass"
        waived = [found for found in self.findings if found.waived]
        more = f", {len(waived)} waived" if waived else ""
        return [
            f"{self.outcome}. {doing}; {count}{more}.",
            *(found.sentence for found in worst),
            *(f"Waived: {found.sentence} {found.waived}" for found in waived),
            *self.notes,
        ]


def write_verdict(verdict: Verdict, path: Path) -> None:
    """Write verdict.json, whole or not at all."""
    facts = {
        "format": FORMAT,
        "outcome": verdict.outcome,
        "action": verdict.action,
        "exit_code": verdict.exit_code,
        **asdict(verdict),
    }
    with whole_file(path) as part:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False, default=str)
        part.write_text(text + "\n", encoding="utf-8")


def read_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises:
        BadFile: there is none, it is damaged, or its outcome is not that of its findings.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (found := facts.pop("format")) != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        claimed = [facts.pop(name) for name in ("outcome", "action", "exit_code")]
        verdict = Verdict(**{
            **facts,
            "candidate": Side(**facts["candidate"]),
            "baseline": Side(**facts["baseline"]) if facts["baseline"] else None,
            "findings": tuple(Finding(**one) for one in facts["findings"]),
            "notes": tuple(facts["notes"]),
        })  # fmt: skip
        if strange := {one.outcome for one in verdict.findings} - set(EXIT_CODES):
            raise ValueError(f"there is no outcome {', '.join(map(repr, strange))}")
        if claimed != [verdict.outcome, verdict.action, verdict.exit_code]:
            raise ValueError(f"it says {claimed[0]}, and its findings say {verdict.outcome}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{path}: expected a verdict ({said(error)}). Make one with `nearfar gate`."
        ) from error
    return verdict


def waived(findings: Sequence[Finding], words: Mapping[int, str]) -> tuple[Finding, ...]:
    """Return the findings, some of them with a word why they do not count."""
    return tuple(
        replace(found, waived=words[i]) if i in words else found for i, found in enumerate(findings)
    )
