"""What `nearfar evaluate --rerank` says: what retrieval lost and reranking won, at what cost."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfar.evaluation.stages import Budget, Depth, Reranking


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
