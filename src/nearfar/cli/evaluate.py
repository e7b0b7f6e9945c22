"""`nearfar evaluate`: how good is a model, and is it better than another?"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, Lexical, LexicalWeight, MaxTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfar.evaluation.report import Report
    from nearfar.evaluation.stages import Budget, Depth, Reranking


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
    lexical: Lexical = False,
    lexical_weight: LexicalWeight = None,
    budget_ms: Annotated[
        list[float] | None,
        typer.Option(
            help="Measure also what fits into so many milliseconds a query, as search "
            "--budget-ms would stop; repeatable."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="retrieval, sts, pairs, triplets, labels, clustering or bitext; repeatable. "
            "Default: retrieval."
        ),
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="A dataset the model has learned from, for the cohort "
            "derived.new_since_training; repeatable."
        ),
    ] = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Rank every document for each query of a split; write report.json and report.html."""
    from nearfar.cli.talking import bars
    from nearfar.cli.tasks_report import show_tasks
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting, require
    from nearfar.evaluation.derived import trained_texts
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.evaluating import CANDIDATES, SecondStage, evaluate_into
    from nearfar.pipeline.recipe import free_settings
    from nearfar.pipeline.task_evaluating import RETRIEVAL, measure_tasks, require_tasks

    if rerank is None and (candidates or lexical or budget_ms):
        raise BadSetting(
            "--candidates, --lexical and --budget-ms are for a reranker. Name it with --rerank."
        )
    for budget in budget_ms or ():
        require(0 < budget < math.inf, "--budget-ms", "above 0", budget)
    if lexical_weight is not None:
        if not lexical:
            raise BadSetting("--lexical-weight is for words. Add --lexical.")
        require(0 <= lexical_weight <= 1, "--lexical-weight", "between 0 and 1", lexical_weight)
    chosen = free_settings(settings or ()).evaluation
    data, tasks = Dataset.open(dataset), tuple(task or (RETRIEVAL,))
    require_tasks(data, chosen.split, tasks)  # before any model is loaded
    if rerank is not None and RETRIEVAL not in tasks:
        raise BadSetting("--rerank is for retrieval. Add --task retrieval.")
    learned = [trained_texts(Dataset.open(one)) for one in trained_on or ()]
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
            budgets=tuple(budget / 1e3 for budget in budget_ms or ()),
        )
    if RETRIEVAL in tasks:
        with bars() as progress:
            report = evaluate_into(
                folder, data, models, chosen, names=(against or model, model), second=second,
                trained=frozenset().union(*learned) if learned else None, progress=progress,
            )  # fmt: skip
        show_table(report)
        if report.reranking is not None:
            show_stages(report.reranking)
        print(f"report: {folder / 'report.html'}")
    if set(tasks) != {RETRIEVAL}:
        with bars() as progress:
            reports = measure_tasks(
                folder / "tasks", data, models, chosen.split, tasks, replace=True, progress=progress
            )
        show_tasks(reports, chosen.split)
        print(f"tasks: {folder / 'tasks' / 'tasks.json'}")


def show_table(report: "Report") -> None:
    """Print the measures of a report with their intervals."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.measure import SHORT_NAMES, span
    from nearfar.evaluation.report import headline

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
    for one in report.slices:
        if one["verdict"] == "confirmed":
            console.print(one["sentence"], highlight=False, markup=False)


def show_stages(found: "Reranking") -> None:
    """Print what retrieval lost and what reranking won, for each number of candidates."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.stages import told_of_stages

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
    if found.budgets:
        _show_budgets(found.budgets)


def _show_budgets(budgets: "Sequence[Budget]") -> None:
    """Print what fits into each time, and what it is worth."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("within ms", "read", "p50", "p95", "nDCG@10", "difference", "took ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for budget in budgets:
        table.add_row(*map(escape, _budget_cells(budget)))
    console = Console()
    console.print(table)
    console.print(
        "read: candidates reranked in that time, the mean, the median (p50) and what 95 of 100 "
        "queries stay within (p95); took: whole answers.",
        highlight=False,
    )


def _cells(depth: "Depth") -> tuple[str, ...]:
    """Return a row of the table; what reranking nothing cannot have is a dash."""
    from nearfar.evaluation.measure import NOTHING, span
    from nearfar.evaluation.stages import milliseconds

    ndcg = depth.measure("ndcg_at_10_score")
    shown = [span(depth.recall), span(depth.ceiling), span(ndcg.tuned),
             span(ndcg.difference, sign=True), milliseconds(depth.reranking)]  # fmt: skip
    if not depth.candidates:
        shown = [NOTHING, NOTHING, span(ndcg.tuned), NOTHING, NOTHING]
    return (f"{depth.candidates:,}", *(text.replace(" [", "\n[") for text in shown))


def _budget_cells(budget: "Budget") -> tuple[str, ...]:
    """Return a row of the table of budgets."""
    from nearfar.evaluation.measure import span
    from nearfar.evaluation.stages import milliseconds

    ndcg = budget.measure("ndcg_at_10_score")
    shown = [span(ndcg.tuned), span(ndcg.difference, sign=True), milliseconds(budget.latency)]
    read = budget.read
    return (
        f"{1e3 * budget.seconds:,g}",
        *(f"{one:,.1f}" for one in (read.mean, read.median, read.p95)),
        *(text.replace(" [", "\n[") for text in shown),
    )
