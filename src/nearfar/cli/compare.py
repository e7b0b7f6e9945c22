"""`nearfar compare`: which of several systems finds best on this data, and what does each cost?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import DatasetFolder

if TYPE_CHECKING:
    from rich.console import Console

    from nearfar.evaluation.compared_page import Table
    from nearfar.evaluation.comparing import Comparison


def compare(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where scores and the page will stand.")],
    system: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=WHAT",
            help="WHAT: a model (folder, package:NAME, hub id), bm25, run:FILE.trec, or "
            "http://host/v1#model. Repeatable.",
        ),
    ],
    reference: Annotated[
        str, typer.Option(help="The NAME that the others are held against. Default: the first.")
    ] = "",
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=USD", help="Dollars for a million tokens; repeatable."),
    ] = None,
    query_prompt: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="What a model reads before a query; repeatable."),
    ] = None,
    document_prompt: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="What it reads before a document; repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Shown and tested, such as map_score; repeatable, the first counts."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting such as evaluation.split=dev; repeatable."),
    ] = None,
    runs: Annotated[
        bool, typer.Option("--runs", help="Write TREC runs and qrels into FOLDER/runs too.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what stands there already.")
    ] = False,
) -> None:
    """Measure systems on the same queries; write compare.json, compare.md and compare.html.

    Keys of servers are read from OPENAI_API_KEY.
    """
    from nearfar.cli.language_model import endpoint
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.evaluation.comparing import SHOWN
    from nearfar.pipeline.comparing import Asked, compare_into
    from nearfar.pipeline.recipe import free_settings
    from nearfar.pipeline.systems import Prompts

    before_query = _named("--query-prompt", query_prompt or [])
    before_document = _named("--document-prompt", document_prompt or [])
    asked = Asked(
        systems=_named("--system", system),
        reference=reference,
        prices={name: _number(name, usd) for name, usd in _named("--price", price or []).items()},
        prompts={
            name: Prompts(before_query.get(name), before_document.get(name))
            for name in (*before_query, *before_document)
        },
        runs=runs,
        again=again,
        metrics=tuple(metric or SHOWN),
        evaluation=free_settings(settings or ()).evaluation,
    )
    with bars() as progress:
        found = compare_into(
            folder, Dataset.open(dataset), asked,
            endpoint=endpoint, say=progress.say, progress=progress,
        )  # fmt: skip
    show(found.comparison, found.notes)
    print(f"page: {folder / 'compare.html'}")


def show(comparison: "Comparison", notes: tuple[str, ...] = ()) -> None:
    """Print the tables of a comparison."""
    from rich.console import Console

    from nearfar.evaluation import compared_page as told

    console = Console()
    for sentence in (told.headline(comparison), told.about(comparison), *notes):
        console.print(sentence, highlight=False, markup=False)
    for title, table in (
        ("Quality", told.quality_table(comparison)),
        (told.difference_title(comparison), told.difference_table(comparison)),
        ("Costs", told.cost_table(comparison)),
    ):
        if table.rows and len(table.titles) > 1:
            console.print(f"\n{title}", style="bold", highlight=False, markup=False)
            _show_table(console, table)


def _show_table(console: "Console", table: "Table") -> None:
    from rich.markup import escape
    from rich.table import Table as Drawn

    drawn = Drawn(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for place, title in enumerate(table.titles):
        # An interval goes below its mean, so that a row fits into a window of usual width.
        drawn.add_column(escape(title), justify="right" if place else "left")
    for row in table.rows:
        drawn.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
    console.print(drawn)


def _named(option: str, given: list[str]) -> dict[str, str]:
    """Return what NAME=WHAT says, each name once."""
    from nearfar.errors import BadSetting

    found: dict[str, str] = {}
    for one in given:
        name, sign, what = one.partition("=")
        if not sign or name in found:
            problem = f"{name!r} is named twice" if sign else "there is no '='"
            raise BadSetting(f"{option} {one}: expected NAME=WHAT, each name once; {problem}.")
        found[name] = what
    return found


def _number(name: str, said: str) -> float:
    from nearfar.errors import BadSetting

    try:
        return float(said)
    except ValueError as error:
        raise BadSetting(f"--price {name}={said}: expected dollars, such as 0.02.") from error
