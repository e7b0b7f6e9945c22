"""`nearfar plan`: how many labelled queries does a cohort need, and which to label next?"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from nearfar.cli.options import Baseline, DatasetFolder, PolicyFile

if TYPE_CHECKING:
    from nearfar.records import Split
    from nearfar.release.planning import Plan


def plan(
    dataset: DatasetFolder,
    candidate: Annotated[
        Path | None, typer.Option(help="Results of `nearfar evaluate`: how much queries differ.")
    ] = None,
    baseline: Baseline = None,
    policy: PolicyFile = None,
    effect: Annotated[
        float | None, typer.Option(help="The loss that matters. Default: the policy's margins.")
    ] = None,
    deviation: Annotated[
        float, typer.Option(help="Of the differences, where no two results say; 0.2 to 0.3.")
    ] = 0.3,
    cohort: Annotated[
        list[str] | None,
        typer.Option(help="Such as query.language; repeatable. Default: all that divide queries."),
    ] = None,
    split: Annotated[str, typer.Option(help="test or dev.")] = "test",
    queue: Annotated[
        Path | None, typer.Option(help="Where the pairs to label will lie, as JSONL.")
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option("--json", help="Where plan.json will lie. Default: beside the queue."),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="A log of queries to draw from too, as JSONL.")
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Whose hits are marked: a model (folder, package:NAME, hub id), bm25, "
            "run:FILE.trec, or http://host/v1#model. Repeatable; name candidate and baseline. "
            "Default: bm25.",
        ),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="Hits of each system that are marked.")] = 10,
    budget: Annotated[int, typer.Option(min=1, help="Pairs to mark, at most.")] = 1_000,
    labeller: Annotated[
        list[str] | None,
        typer.Option(help="Who marks; repeatable. Default: everyone marks everything."),
    ] = None,
    overlap: Annotated[
        float, typer.Option(help="Share of the queries that two labellers mark.")
    ] = 0.1,
    share: Annotated[
        float,
        typer.Option(
            help="Of new groups that belong to the split; the same as `nearfar import --test`."
        ),
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
) -> None:
    """Say how many labelled queries each cohort needs, and draw the pairs to label."""
    from nearfar.cli.language_model import endpoint
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting
    from nearfar.evaluation.embedded import Task
    from nearfar.evaluation.scores import read_scores
    from nearfar.pipeline.gating import read_policy, scores_in
    from nearfar.pipeline.systems import WORDS, opened, require_system
    from nearfar.release.logged import read_logged
    from nearfar.release.planning import Asked, Ranked, make_plan, write_plan
    from nearfar.release.policy import Policy
    from nearfar.release.queue import write_queue

    if (candidate is None) != (baseline is None):
        raise BadSetting("--candidate and --baseline go together: how much queries differ lies "
                         "between the two.")  # fmt: skip
    asked = Asked(
        split=cast("Split", split), effect=effect, deviation=deviation,
        fields=None if cohort is None else tuple(cohort), budget=budget, depth=depth,
        labellers=tuple(labeller or ()), overlap=overlap, share=share, seed=seed,
    )  # fmt: skip
    bar = Policy() if policy is None else read_policy(policy)
    results = None
    if candidate is not None and baseline is not None:
        results = read_scores(scores_in(candidate)), read_scores(scores_in(baseline))
    data = Dataset.open(dataset)
    whats = list(dict.fromkeys(system or [WORDS]))
    for number, what in enumerate(whats, start=1):
        require_system(f"system{number}", what)
    with bars() as progress, ExitStack() as stack:

        def find(task: Task, depth: int) -> list[Ranked]:
            found: list[Ranked] = []
            for number, what in enumerate(whats, start=1):
                one = stack.enter_context(opened(f"system{number}", what, endpoint, progress))
                found.append(one.find(data, task, depth, progress=progress).rankings)
            return found

        logged = () if queries is None else read_logged(queries)
        made = make_plan(data, bar, asked, None if queue is None else find,
                         results=results, logged=logged)  # fmt: skip
    show_plan(made)
    if queue is not None and made.items:
        count = write_queue(made.items, queue)
        print(f"queue: {queue}, {count:,} pairs. Mark them with `nearfar label {queue} {dataset} "
              "--by NAME`.")  # fmt: skip
    if queue is not None and not made.items:
        print("queue: not written, since nothing was drawn.")
    if where := facts or (queue.parent / "plan.json" if queue is not None else None):
        write_plan(made, where)
        print(f"plan: {where}")


def show_plan(made: "Plan") -> None:
    """Print what each cohort has and lacks."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.measure import NOTHING, SHORT_NAMES
    from nearfar.release.markdown import line

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("cohort", overflow="fold")
    table.add_column("metric", no_wrap=True)
    for name in ("labelled", "deviation", "rules out", "effect", "needed", "missing"):
        table.add_column(name, justify="right", no_wrap=True)
    for need in made.needs:
        table.add_row(
            escape(line(need.cohort)),
            escape(SHORT_NAMES.get(need.metric, need.metric)),
            f"{need.labelled:,}",
            f"{need.deviation:.2f}{_MARKS[need.known]}",
            NOTHING if need.rules_out is None else f"{need.rules_out:.3f}",
            f"{need.effect:g}",
            f"{need.needed:,}",
            f"{need.missing:,}" if need.missing else NOTHING,
        )
    console = Console()
    console.print(table)
    signs = {need.known for need in made.needs} - {"measured"}
    legend = [f"{_MARKS[known].strip()} {known}" for known in sorted(signs)]
    if legend:
        console.print(f"deviation: {', '.join(legend)}", markup=False, highlight=False)
    console.print()
    for sentence in made.sentences():
        console.print(line(sentence), markup=False, highlight=False)


_MARKS = {"measured": "", "of all queries": " †", "assumed": " *"}
