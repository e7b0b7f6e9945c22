"""What `nearfar evaluate --task` says: a small table for each task beyond retrieval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from nearfar.pipeline.task_evaluating import TaskReport


def show_tasks(reports: "Sequence[TaskReport]", split: str) -> None:
    """Print the numbers of each task with their intervals, and what they depend on."""
    from rich.console import Console

    console = Console()
    console.print(
        f"\nTasks on the {split} split; brackets are 95 % intervals.",
        highlight=False, markup=False,
    )  # fmt: skip
    for report in reports:
        told = "".join(
            f", {name.replace('_', ' ')} {value:.3f}" if isinstance(value, float)
            else f", {name.replace('_', ' ')} {value}"
            for name, value in report.facts.items()
        )  # fmt: skip
        head = f"\n{report.task}: n {report.measures[0].base.n:,}{told}"
        console.print(head, highlight=False, markup=False, soft_wrap=True)
        _show(report, console)
        if report.bands:
            _show_bands(report, console)


def _show(report: "TaskReport", console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.measure import span

    two = any(measure.tuned for measure in report.measures)
    names = ("base", "tuned", "difference") if two else ("base",)
    table = Table("", box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=two)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    colours = {"better": "green", "worse": "red", "unclear": ""}
    for measure in report.measures:
        cells = [escape(span(getattr(measure, name), sign=name == "difference")) for name in names]
        if colour := colours[measure.verdict]:
            cells[-1] = f"[{colour}]{cells[-1]}[/]"
        table.add_row(_short(measure.name), *cells)
    console.print(table)


def _show_bands(report: "TaskReport", console: "Console") -> None:
    """Print what a likeness says of the pairs of each fifth of its scale, and what is true."""
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.measure import span

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("likeness", "pairs", "it says", "it is"):
        table.add_column(name, justify="right", no_wrap=True)
    for band in report.bands:
        shown = span(band.true)
        table.add_row(f"{band.low:.1f} to {band.high:.1f}", f"{band.true.n:,}", f"{band.said:.3f}",
                      escape(shown))  # fmt: skip
    console.print(table)


def _short(name: str) -> str:
    """Return a name without what its task says already: what is asked of triplets, of pairs."""
    known = ("pair_", "triplet_", "neighbours_", "translation_", "similarity_", "analogy_",
             "context_", "relevance_")  # fmt: skip
    said = next((one for one in known if name.startswith(one)), "")
    name = name.removeprefix(said)
    name = f"{name.removesuffix('_error')}↓" if name.endswith("_error") else name
    return name.removesuffix("_score").replace("_", " ")
