"""`nearfar gate`: may this candidate be released?"""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import Baseline, PolicyFile

if TYPE_CHECKING:
    from nearfar.release.verdict import Verdict


def gate(
    folder: Annotated[Path, typer.Argument(help="Where the verdict will stand.")],
    candidate: Annotated[Path, typer.Option(help="Results of `nearfar evaluate`.")],
    baseline: Baseline = None,
    policy: PolicyFile = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Of all runs on a test set. Default: FOLDER/ledger.jsonl.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Fingerprint that the candidate's space must have.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="That was measured on, to look for its texts in training.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(help="A dataset that was learned from; repeatable. Refuses what leaks."),
    ] = None,
) -> None:
    """Judge a candidate: PASS, REGRESSION or INSUFFICIENT, per cohort and metric.

    Exit code 0: it may be released. 3: blocked. 4: the evidence is not enough. 5: the results do
    not measure the same thing. Writes verdict.json, verdict.html, verdict.md and junit.xml; on
    GitHub also annotations and the step summary.
    """
    from nearfar.pipeline.gating import Compared
    from nearfar.pipeline.gating import gate as judge
    from nearfar.release.outputs import annotations, markdown

    compared = Compared(
        candidate=candidate, baseline=baseline, space=space, dataset=dataset,
        trained_on=trained_on or (),
    )  # fmt: skip
    verdict = judge(policy, compared, folder, ledger=ledger)
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    token = secrets.token_hex(16)
    if on_github:  # a name within the data is no command, wherever its line breaks
        print(f"::stop-commands::{token}", flush=True)
    show_verdict(verdict)
    print(f"verdict: {folder / 'verdict.html'}")
    if on_github:
        print(f"::{token}::")
        for line in annotations(verdict):
            print(line)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(markdown(verdict))
    raise typer.Exit(verdict.exit_code)


def show_verdict(verdict: "Verdict") -> None:
    """Print the outcome, what keeps it from passing, and a table of all findings."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.measure import NOTHING, SHORT_NAMES
    from nearfar.release.markdown import line

    colours = {"PASS": "green", "REGRESSION": "red", "INSUFFICIENT": "yellow"}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("rule", no_wrap=True)
    table.add_column("cohort", overflow="fold")
    for name in ("queries", "candidate", "change", "above", "bar"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in verdict.findings:
        cells = (
            SHORT_NAMES.get(one.rule, one.rule),
            line(one.cohort),
            NOTHING if one.queries is None else f"{one.queries:,}",
            NOTHING if one.candidate is None else f"{one.candidate:.3f}",
            *(NOTHING if number is None else f"{number:+.3f}"
              for number in (one.difference, one.low, one.bar)),
        )  # fmt: skip
        word = f"[{colours[one.outcome]}]{one.outcome}[/]"
        table.add_row(*map(escape, cells), word + (" (waived)" if one.waived else ""))
    console = Console()
    console.print(table)
    console.print()
    first, *rest = verdict.sentences()
    console.print(f"[{colours[verdict.outcome]}]{escape(first)}[/]", highlight=False)
    for sentence in rest:
        console.print(f"  {line(sentence)}", highlight=False, markup=False)
