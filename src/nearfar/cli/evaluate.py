"""`nearfar evaluate`: how good is a model, and is it better than another?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens

if TYPE_CHECKING:
    from nearfar.evaluation.intervals import Estimate
    from nearfar.evaluation.report import Report


def evaluate(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the report will stand.")],
    model: Base,
    against: Annotated[
        str | None, typer.Option(help="The base that the model is held against, query by query.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting such as evaluation.split=dev; repeatable."),
    ] = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Rank every document for each query of a split; write report.json and report.html."""
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.evaluating import evaluate_into
    from nearfar.pipeline.recipe import free_settings

    chosen = free_settings(settings or ()).evaluation
    text = TextSettings(max_tokens=max_tokens)
    measured = TextEncoder.load(model, text)
    base = TextEncoder.load(against, text) if against else None
    models = (base, measured) if base else (measured, None)
    with bars() as progress:
        report = evaluate_into(folder, Dataset.open(dataset), models, chosen, progress=progress)
    show_table(report)
    print(f"report: {folder / 'report.html'}")


def show_table(report: "Report") -> None:
    """Print the measures of a report with their intervals."""
    from rich.console import Console
    from rich.table import Table

    names = ("base", "tuned", "difference") if report.tuned else ("base",)
    n = report.measures[0].base.n
    table = Table(
        title=f"{report.split} split: {n:,} queries, {report.documents:,} documents, "
        "95 % intervals",
        title_justify="left",
    )
    table.add_column("measure")
    for name in names:
        table.add_column(name if report.tuned else "model", justify="right")
    colours = {"better": "green", "worse": "red", "unclear": ""}
    for measure in report.measures:
        cells = [_span(getattr(measure, name)) for name in names]
        if colour := colours[measure.verdict]:
            cells[-1] = f"[{colour}]{cells[-1]}[/]"
        table.add_row(measure.name, *cells)
    Console().print(table)


def _span(found: "Estimate") -> str:
    interval = "" if found.low is None else f" \\[{found.low:.3f}, {found.high:.3f}]"
    return f"{found.mean:.3f}{interval}"
