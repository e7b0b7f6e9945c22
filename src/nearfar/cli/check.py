"""`nearfar check`: is this dataset fit to learn from?"""

from typing import Annotated

import typer

from nearfar.cli.options import DatasetFolder, MaxTokens

_DATA_FAULT = 5  # the exit code of evidence that cannot be trusted, as the gate's


def check(
    dataset: DatasetFolder,
    model: Annotated[
        str | None, typer.Option(help="Count what this model would cut off, by cohort.")
    ] = None,
    max_tokens: MaxTokens = None,
    cohort: Annotated[
        list[str] | None, typer.Option(help="Field to count cohorts of; repeatable.")
    ] = None,
) -> None:
    """Report empties, duplicates, contradictions, leaks, truncation and cohort sizes.

    Exit code 0 if nothing makes a training or a measurement wrong, 5 if something does.
    """
    from rich.console import Console
    from rich.table import Table

    from nearfar.data.check import check_dataset
    from nearfar.data.dataset import Dataset

    tokens = None
    if model is not None:
        from nearfar.model.text import TextEncoder, TextSettings

        tokens = TextEncoder.load(model, TextSettings(max_tokens=max_tokens)).tokens
    report = check_dataset(
        Dataset.open(dataset),
        count_tokens=tokens.count if tokens else None,
        max_tokens=tokens.max_tokens if tokens else None,
        cohorts=cohort,
    )
    console = Console()
    for finding in report.findings:
        share = f"{finding.count:,} of {finding.total:,}"
        console.print(f"[bold]{finding.severity}[/]: {share} {finding.what}. {finding.advice}")
        for example in finding.examples:
            at = ", ".join(example.sources)
            console.print(f"    {' · '.join(example.ids)} {example.detail} {at}", markup=False)
    table = Table("field", "value", "documents", "queries", "documents cut", "queries cut")
    for found in report.cohorts:
        counts = (found.documents, found.queries, found.documents_cut, found.queries_cut)
        table.add_row(found.field, found.value, *(f"{count:,}" for count in counts))
    if report.cohorts:
        console.print(table)
    if not report.ok:
        raise typer.Exit(_DATA_FAULT)
    print("Nothing found that makes a training or a measurement wrong.")
