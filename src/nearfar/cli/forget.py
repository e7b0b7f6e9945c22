"""`nearfar forget`: a document, a query, a source or a person leaves all that can let go of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nearfar.lineage.forgetting import Plan
    from nearfar.lineage.verifying import Proof

_STILL_THERE = 5  # the exit code of what cannot be trusted, as of `nearfar check`
_SHOWN = 20


def forget(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            help="Document, query, user, session, annotator or prompt hash; or FILE or FILE:LINE."
        ),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="FILE or FILE:LINE, as a source only; repeatable.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE of a text or an origin; repeatable.")
    ] = None,
    workspace: Annotated[Path, typer.Option(help="The folder it is to leave.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", help="Do it, and do not only show it.")] = False,
) -> None:
    """Show what would go, and with --yes remove it; name the models that must be trained again.

    Exit code 0 if nothing is left in what could be read, 5 if a file still holds something of it.
    """
    from nearfar.cli.talking import bars, say
    from nearfar.lineage.forgetting import forget as remove
    from nearfar.lineage.forgetting import plan_forgetting
    from nearfar.lineage.matching import wanted

    asked = wanted(ids or (), sources=source or (), where=where or ())
    if not yes:
        plan = plan_forgetting(workspace, asked)
        _show(plan, "Would be removed from:")
        if plan or plan.unfinished:
            say("Nothing was touched. The same command with --yes does it; it cannot be undone.")
        return
    with bars() as progress:
        done = remove(workspace, asked, progress=progress)
    _show(done.plan, "Removed from:")
    _show_proof(done.proof)
    if done.proof.holding or done.proof.within:
        raise typer.Exit(_STILL_THERE)


def _show(plan: "Plan", title: str) -> None:
    from nearfar.cli.lineage import show_holdings

    if plan.unfinished:
        print("The same was asked before and cut short; this goes on with it.")
    if plan:
        print(title)
    show_holdings(plan.holdings)
    for check in plan.holdings.checks:
        print(f"check {check.folder}: goes, `nearfar run` makes it again")
    for path in plan.kept:
        print(f"kept for going on, or for another time {path}: goes")
    for path in plan.answers:
        print(f"answers of a language model, paid for {path}: goes")
    for path in plan.left_behind:
        print(f"left behind by a process that was killed {path}: put back, or goes")
    for model in plan.retrain:
        print(f"must be trained again: {model.folder} ({model.how})")
        print(f"    {model.command}")
        for index in model.indexes:
            print(f"    then build again: {index}")


def _show_proof(proof: "Proof") -> None:
    print(f"Read {proof.files:,} files after it.")
    for title, found in (
        ("Still holds it, and is not nearfar's to change", proof.holding),
        ("Holds one of its texts within a longer one", proof.within),
        ("Could not be looked into", proof.closed),
    ):
        for line in found[:_SHOWN]:
            print(f"{title}: {line}")
        if len(found) > _SHOWN:
            print(f"{title}: {len(found) - _SHOWN:,} more")
    if not (proof.holding or proof.within):
        print("Nothing of it was found in the others." if proof.closed else
              "Neither the ids nor the texts are in any of them.")  # fmt: skip
