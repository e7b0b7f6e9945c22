"""`nearfar evaluate`: how good is a model, and is it better than another?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens

if TYPE_CHECKING:
    from nearfar.evaluation.report import Depth, Report, Reranking


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
    rerank: Annotated[
        str | None, typer.Option(help="A cross-encoder that reads what the model finds.")
    ] = None,
    candidates: Annotated[
        list[int] | None,
        typer.Option(help="How many the reranker reads; repeatable. Default: 50, 100, 200."),
    ] = None,
    lexical: Annotated[
        bool, typer.Option("--lexical", help="Words (BM25) help to find candidates.")
    ] = False,
    lexical_weight: Annotated[
        float | None,
        typer.Option(help="How much words count beside meaning, 0 to 1. Default: by ranks (RRF)."),
    ] = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Rank every document for each query of a split; write report.json and report.html."""
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting, require
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.evaluating import CANDIDATES, SecondStage, evaluate_into
    from nearfar.pipeline.recipe import free_settings

    if rerank is None and (candidates or lexical):
        raise BadSetting("--candidates and --lexical are for a reranker. Name it with --rerank.")
    if lexical_weight is not None:
        if not lexical:
            raise BadSetting("--lexical-weight is for words. Add --lexical.")
        require(0 <= lexical_weight <= 1, "--lexical-weight", "between 0 and 1", lexical_weight)
    chosen = free_settings(settings or ()).evaluation
    text = TextSettings(max_tokens=max_tokens)
    measured = TextEncoder.load(model, text)
    base = TextEncoder.load(against, text) if against else None
    models = (base, measured) if base else (measured, None)
    second = None
    if rerank is not None:
        second = SecondStage(
            reranker=load_reranker(rerank),
            candidates=tuple(candidates or CANDIDATES),
            lexical=lexical,
            lexical_weight=lexical_weight,
        )
    with bars() as progress:
        report = evaluate_into(
            folder, Dataset.open(dataset), models, chosen, second=second, progress=progress
        )
    show_table(report)
    if report.reranking is not None:
        show_stages(report.reranking)
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


def show_stages(found: "Reranking") -> None:
    """Print what retrieval lost and what reranking won, for each number of candidates."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.report import told_of_stages

    # Intervals stand below their means: side by side they would not fit a usual window.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("read", "recall", "ceiling", "nDCG@10", "difference", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for candidates in (0, *found.asked):
        table.add_row(*map(escape, _cells(found.at(candidates))))
    console = Console()
    console.print()
    for sentence in told_of_stages(found):
        console.print(sentence, highlight=False, markup=False)
    console.print(table)
    console.print(
        "read: candidates reranked; difference: to retrieval alone; ms: to rerank so many, the "
        "median, and below it what 95 of 100 queries stay within.",
        highlight=False,
    )


def _cells(depth: "Depth") -> tuple[str, ...]:
    """Return a row of the table; what reranking nothing cannot have is a dash."""
    from nearfar.evaluation.report import NOTHING, milliseconds, span

    ndcg = depth.measure("ndcg_at_10_score")
    shown = [span(depth.recall), span(depth.ceiling), span(ndcg.tuned),
             span(ndcg.difference, sign=True), milliseconds(depth.reranking)]  # fmt: skip
    if not depth.candidates:
        shown = [NOTHING, NOTHING, span(ndcg.tuned), NOTHING, NOTHING]
    return (f"{depth.candidates:,}", *(text.replace(" [", "\n[") for text in shown))
