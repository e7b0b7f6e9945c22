"""`nearfar label`: mark how well documents answer, in a terminal or on a page, by keys alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from nearfar.cli.options import Replace

if TYPE_CHECKING:
    from nearfar.release.applying import Applied, Settle
    from nearfar.release.labellers import Agreed, Report
    from nearfar.release.labelling import Labeller
    from nearfar.release.texts import Texts

_SHOWN = 50  # disagreements that are listed


def label(
    queue: Annotated[Path, typer.Argument(help="Pairs to mark, drawn by `nearfar plan`.")],
    dataset: Annotated[
        Path | None, typer.Argument(help="The dataset that the queue was drawn for.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who marks.")] = "",
    grades: Annotated[str, typer.Option(help="0-3 or yes-no.")] = "0-3",
    marks: Annotated[
        list[Path] | None,
        typer.Option(
            help="Journals of marks; repeatable, the first is written to. "
            "Default: beside the queue, ending in .marks.jsonl."
        ),
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="On a page of this machine.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: any.")] = 8765,
    settles: Annotated[
        bool, typer.Option("--settles", help="Decide where labellers disagree.")
    ] = False,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Say how far labellers agree, and where not.")
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write the dataset with the marks into this folder.")
    ] = None,
    settle: Annotated[
        str,
        typer.Option(help="With --write, of pairs that nobody settled: agreed (left out) or "
                     "median."),
    ] = "agreed",
    replace: Replace = False,
) -> None:  # fmt: skip
    """Mark pairs; every mark is on the disk at once, and the same command goes on.

    Keys: the grade, s skips, u takes back, n adds a note, m shows the whole text, q stops.
    """
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadFile, BadSetting, require
    from nearfar.release.applying import SETTLES, apply_marks
    from nearfar.release.labellers import agreement as agree
    from nearfar.release.labelling import Labeller
    from nearfar.release.marks import Journal
    from nearfar.release.queue import read_queue
    from nearfar.release.texts import Texts

    items = read_queue(queue)
    paths = marks or [queue.with_suffix(".marks.jsonl")]
    for path in paths if agreement or write is not None else paths[1:]:
        if not path.is_file():
            raise BadFile(f"{path}: expected a journal of marks, found none. Mark first, or name "
                          "it with --marks.")  # fmt: skip
    journals = [Journal(path) for path in paths]
    if agreement:
        scale = next((line.scale for one in journals for line in one.lines), grades)
        show_agreement(agree(journals, scale))
        return
    if dataset is None:
        raise BadSetting("Expected the dataset of the queue: nearfar label QUEUE DATASET.")
    opened = Dataset.open(dataset)
    if write is not None:
        require(settle in SETTLES, "--settle", " or ".join(SETTLES), settle)
        done = apply_marks(opened, items, journals, write, queue=queue.name,
                           settle=cast("Settle", settle), replace=replace)  # fmt: skip
        _write(done, write, f"`nearfar label {queue} {dataset} --settles --by NAME`.")
        return
    labeller = Labeller(items, journals[0], by, grades, settles=settles, others=journals[1:])
    if not labeller.items:
        print("There is nothing to settle: no two labellers gave a pair different grades.")
        return
    texts = Texts(opened, items, str(queue))
    if web:
        _serve(labeller, texts, port)
    else:
        _ask(labeller, texts)
    standing = labeller.standing()
    print(f"{standing.done:,} of {standing.total:,} marked by {by}: {journals[0].path}")


def _ask(labeller: "Labeller", texts: "Texts") -> None:
    from rich.console import Console

    from nearfar.cli.keys import keyboard
    from nearfar.cli.label_terminal import run_sheet

    with keyboard() as keys:
        run_sheet(labeller, texts, keys, Console())


def _serve(labeller: "Labeller", texts: "Texts", port: int) -> None:
    from nearfar.release.label_web import Sheet, address, serve

    sheet = Sheet(labeller, texts)
    with serve(sheet, port) as server:
        print(f"Open {address(sheet, server)}\nCtrl-C ends it; every mark is kept.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def _write(done: "Applied", folder: Path, settling: str) -> None:
    splits = ", ".join(f"{count:,} in {split}" for split, count in done.splits)
    print(f"{folder}: {done.answers:,} answers and {done.wrong:,} that are none ({splits}).")
    if done.new_queries:
        print(f"{done.new_queries:,} queries are new.")
    if done.replaced:
        print(f"{done.replaced:,} judgments of before gave way to a mark.")
    if done.undecided:
        print(f"{done.undecided:,} pairs are left out: labellers disagree. Decide: {settling}")


def show_agreement(report: "Report") -> None:
    """Print how far labellers agree, and the pairs where they do not."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.release.texts import harmless

    if not report.twos:
        print(f"{report.marks:,} marks, and no pair that two labellers marked: nothing to compare.")
        return
    console = Console()
    console.print(
        f"{report.marks:,} marks, {report.pairs:,} pairs marked by two or more. "
        f"Krippendorff's alpha {_told(report.alpha)}.", markup=False, highlight=False,
    )  # fmt: skip
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("labellers", "pairs", "same grade", "kappa (quadratic weights)"):
        table.add_column(name, justify="left" if name == "labellers" else "right")
    for two in report.twos:
        names = escape(harmless(f"{two.first}, {two.second}"))
        table.add_row(names, f"{two.pairs:,}", f"{two.same:.0%}", _told(two.kappa))
    console.print(table)
    console.print(f"\n{len(report.apart):,} pairs with different grades:", highlight=False)
    for (query, document), own in list(report.apart.items())[:_SHOWN]:
        grades = ", ".join(f"{mark.line.by} {mark.line.grade}" for mark in own)
        console.print(harmless(f"  {query} · {document}: {grades}"), markup=False, highlight=False)
    if len(report.apart) > _SHOWN:
        console.print(f"  and {len(report.apart) - _SHOWN:,} more.", highlight=False)


def _told(agreed: "Agreed") -> str:
    if agreed.number is None:
        return "cannot be told: all grades are alike"
    return f"{agreed.number:.2f} ({agreed.low:.2f} to {agreed.high:.2f})"
