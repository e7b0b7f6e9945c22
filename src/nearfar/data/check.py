"""Is a dataset fit to learn from and to be measured on? Counts what is not, with examples."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from nearfar.data.cohorts import CohortCounter, CountTokens
from nearfar.data.dataset import Dataset, Table
from nearfar.data.findings import (
    EXAMPLES,
    CheckReport,
    Cohort,
    Example,
    Finding,
    by_severity,
)
from nearfar.data.judged import Judged
from nearfar.data.seen import Groups, Texts
from nearfar.records import Document, Query, Role

_TEXTS_PER_BATCH = 256
_TABLES: dict[Role, Table] = {"query": "queries", "document": "documents"}
_FEW_QUERIES = 30  # in a cohort: too few for an interval that says anything


def check_dataset(
    dataset: Dataset,
    *,
    count_tokens: CountTokens | None,
    max_tokens: int | None,
    cohorts: Sequence[str] | None,
) -> CheckReport:
    """Return everything that makes a dataset unfit, or worth a second look.

    Two texts are the same here if they are so up to case and spaces. Texts are read in
    batches and not kept: what is remembered of a row is its id and some bytes, of a judgment
    two numbers.

    Args:
        dataset: what to check.
        count_tokens: how many tokens the model sees in each text of a role; None: not counted.
        max_tokens: how many it reads; the rest of a text is cut off.
        cohorts: the fields to count by; None: those with 2 to 20 different values.

    Raises:
        BadFile: a table is missing or damaged.
        BadSetting: a cohort is no field of any record.
    """
    counter = CohortCounter(count_tokens, max_tokens, cohorts)
    groups: Groups = {}
    documents = _see(dataset.documents(), Texts("document", groups), counter)
    queries = _see(dataset.queries(), Texts("query", groups), counter)
    judged = Judged(queries, documents, groups)
    for judgment in dataset.judgments():
        judged.see(judgment)
    listed = counter.cohorts()
    findings = [
        *documents.findings(),
        *queries.findings(),
        *judged.findings(),
        judged.contradictions(dataset.judgments()),
        _cut(counter, documents),
        _cut(counter, queries),
        _small(listed),
    ]
    return CheckReport(dataset.digest, _with_sources(by_severity(findings), dataset), listed)


def _see(texts: Iterator[Document | Query], seen: Texts, counter: CohortCounter) -> Texts:
    batch: list[Document | Query]
    while batch := list(islice(texts, _TEXTS_PER_BATCH)):
        counter.see(batch, seen.role)
        for text in batch:
            seen.see(text)
    return seen


def _cut(counter: CohortCounter, texts: Texts) -> Finding:
    plural = _TABLES[texts.role]
    return Finding(
        f"cut_{plural}",
        "warning",
        counter.cut[texts.role],
        len(texts),
        f"{plural} longer than the {counter.max_tokens} tokens the model reads",
        "What stands beyond is not learned and not found: divide them, or raise max_tokens.",
        tuple(counter.cut_examples.get(texts.role, ())),
        texts.role,
    )


def _small(cohorts: Sequence[Cohort]) -> Finding:
    small = [cohort for cohort in cohorts if 0 < cohort.queries < _FEW_QUERIES]
    return Finding(
        "small_cohorts",
        "note",
        len(small),
        len(cohorts),
        f"cohorts with fewer than {_FEW_QUERIES} queries",
        "Expect wide intervals there, or join them to others.",
        tuple(
            Example((f"{cohort.field}={cohort.value}",), f"{cohort.queries} queries")
            for cohort in small[:EXAMPLES]
        ),
    )


def _with_sources(findings: Sequence[Finding], dataset: Dataset) -> tuple[Finding, ...]:
    """Return the findings with file and line beside the ids of their examples.

    The sources of a million rows would be a million strings, so only those of the examples
    are fetched, in one more reading of two narrow columns.
    """
    located = list(findings)
    for role, table in _TABLES.items():
        named = {
            id
            for finding in findings
            for example in finding.examples
            for id in example.ids
            if finding.role == role
        }
        sources = _sources(dataset, table, named) if named else {}
        located = [_located(f, sources) if f.role == role else f for f in located]
    return tuple(located)


def _sources(dataset: Dataset, table: Table, ids: set[str]) -> dict[str, str]:
    return {
        row["id"]: row["source"]
        for batch in dataset.batches(table, ["id", "source"])
        for row in batch.to_pylist()
        if row["id"] in ids
    }


def _located(finding: Finding, sources: dict[str, str]) -> Finding:
    examples = tuple(
        replace(example, sources=tuple(sources[id] for id in example.ids))
        for example in finding.examples
    )
    return replace(finding, examples=examples)
