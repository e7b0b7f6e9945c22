"""`nearfar evaluate`: how good is a model, and is it better than another?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens

if TYPE_CHECKING:
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
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.report import SHORT_NAMES, headline, span

    names = ("base", "tuned", "difference") if report.tuned else ("base",)
    table = Table("", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name if report.tuned else "", justify="right", no_wrap=True)
    colours = {"better": "green", "worse": "red", "unclear": ""}
    for measure in report.measures:
        cells = [escape(span(getattr(measure, name), sign=name == "difference")) for name in names]
        if colour := colours[measure.verdict]:
            cells[-1] = f"[{colour}]{cells[-1]}[/]"
        table.add_row(SHORT_NAMES.get(measure.name, measure.name), *cells)
    console = Console()
    console.print(f"\n{headline(report)}", highlight=False, markup=False)
    console.print(
        f"{report.measures[0].base.n:,} queries of the {report.split} split against "
        f"{report.documents:,} documents; brackets are 95 % intervals.",
        highlight=False,
    )
    console.print(table)
