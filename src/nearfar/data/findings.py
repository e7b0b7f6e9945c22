"""What a check of a dataset says: findings with examples and advice, and the cohorts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nearfar.records import Role

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
EXAMPLES = 3  # of each finding


@dataclass(frozen=True, slots=True)
class Example:
    """One place where a finding can be looked at."""

    ids: tuple[str, ...]  # of queries, documents, or the name of a group or a cohort
    detail: str = ""  # such as the splits it lies in
    sources: tuple[str, ...] = ()  # file and line, as far as they are known


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing, and how often it occurs."""

    name: str  # stable, for machines: "query_leaks"
    severity: Severity
    count: int
    total: int  # of how many
    what: str  # what is counted: "queries without an answer"
    advice: str  # what to do, in one sentence
    examples: tuple[Example, ...] = ()
    role: Role | None = None  # what the ids of the examples name, where it is one of the two

    @property
    def share(self) -> float:
        """Return the part of all that is concerned, 0 to 1."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Cohort:
    """The records that have one value in one field."""

    field: str
    value: str
    documents: int = 0
    queries: int = 0
    documents_cut: int = 0  # longer than the model reads; 0 too where nothing was counted
    queries_cut: int = 0


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings about a dataset, the worst first, and how large each cohort is."""

    digest: str
    findings: tuple[Finding, ...]
    cohorts: tuple[Cohort, ...]

    @property
    def ok(self) -> bool:
        """Tell whether nothing was found that makes a training or a measurement wrong."""
        return all(finding.severity != "error" for finding in self.findings)

    def finding(self, name: str) -> Finding | None:
        """Return the finding of that name, or None if there is nothing of the kind."""
        return next((found for found in self.findings if found.name == name), None)


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that found something, the worst first."""
    found = [finding for finding in findings if finding.count]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))
