"""`nearfar lineage`: what made this, and what holds something of that?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nearfar.lineage.holdings import Holdings
    from nearfar.lineage.things import Lineage, Thing

_FILES_SHOWN = 3
_PROBLEMS_SHOWN = 20


def lineage(
    folder: Annotated[
        Path | None, typer.Argument(help="A model, dataset, index, report or run.")
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of",
            help="The other way: what holds something of a document id, query id, source "
            "(pairs.jsonl:12, pairs.jsonl), user, session, annotator or prompt hash; repeatable.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="With or instead of --of: FIELD=VALUE; repeatable.")
    ] = None,
    workspace: Annotated[
        Path, typer.Option(help="Where parents and holders are looked for.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    prov: Annotated[Path | None, typer.Option(help="Write W3C PROV-JSON to this file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the graph to this SVG file.")] = None,
) -> None:
    """Walk back from a folder to all that made it; or, with --of, from a thing to its holders."""
    from nearfar.errors import BadSetting
    from nearfar.lineage.holdings import find_holdings
    from nearfar.lineage.matching import wanted
    from nearfar.lineage.walk import lineage as walk_back
    from nearfar.lineage.workspace import scan

    if (folder is None) == (not of and not where):
        raise BadSetting(
            "Expected either a folder to walk back from, or --of with what is looked for. "
            "For example: nearfar lineage run/model, or nearfar lineage --of pairs.jsonl:12"
        )
    if folder is None:
        if prov or picture:
            raise BadSetting("--prov and --picture need a folder to walk back from.")
        held = find_holdings(scan(workspace), wanted(of or (), where=where or ()))
        if as_json:
            print(json.dumps(held.to_json(), indent=2, ensure_ascii=False))
        else:
            show_holdings(held)
        return
    found = walk_back(folder, scan(workspace))
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        _show_tree(found)
    if prov is not None:
        from nearfar.lineage.provenance import write_provenance

        write_provenance(found, prov)
    if picture is not None:
        from nearfar.lineage.picture import draw_lineage

        draw_lineage(found, picture)


def show_holdings(held: "Holdings") -> None:
    """Print what holds something of what was looked for, for people."""
    if not held:
        which = "that could be opened" if held.unreadable else "of this workspace"
        print(f"No dataset, index or report {which} holds anything of it.")
    for one in held.datasets:
        splits = ", ".join(f"{name} {count:,}" for name, count in one.splits.items())
        print(f"dataset {one.dataset.folder}: {len(one.documents):,} documents, "
              f"{len(one.queries):,} queries, {one.judgments:,} judgments"
              f"{f' ({splits})' if splits else ''}")  # fmt: skip
        reasons = ", ".join(f"{name} {count:,}" for name, count in one.reasons.items())
        if reasons:
            print(f"    found as: {reasons}")
        for example in one.examples:
            print(f"    {example}")
    for learned in held.models:
        print(f"model {learned.model.folder}: {learned.how}")
    for place, ids in held.indexes:
        print(f"index {place.folder}: {len(ids):,} documents")
    holding = {place.folder for place, _ in held.indexes}
    for place in held.indexes_of_models:
        if place.folder not in holding:
            print(f"index {place.folder}: vectors of a model that learned from it")
    for place, rows in held.reports:
        print(f"report {place.folder}: {rows:,} rows name it")
    for path in held.stores:
        print(f"tokens {path}")
    for problem in held.unreadable[:_PROBLEMS_SHOWN]:
        print(f"not looked into: {problem}")
    if (more := len(held.unreadable) - _PROBLEMS_SHOWN) > 0:
        print(f"not looked into: {more:,} more")


def _show_tree(found: "Lineage") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    roots: list[Tree] = []
    branches: list[Tree] = []
    for depth, role, thing, again in found.walk():
        label = (f"[dim]{role}[/] " if role else "") + f"[bold]{escape(thing.label)}[/]"
        if thing.folder is not None:
            label += f" [cyan]{escape(str(thing.folder))}[/]"
        if thing.state:
            label += f" [yellow]({escape(thing.state)})[/]"
        node = Tree(label + (" [dim](as above)[/]" if again else ""), highlight=False)
        for line in [] if again else _details(thing):
            node.add(f"[dim]{escape(line)}[/]")
        del branches[depth:]
        (branches[-1].children if branches else roots).append(node)
        branches.append(node)
    console = Console()
    for root in roots:
        console.print(root)


def _details(thing: "Thing") -> Iterator[str]:
    """Yield what is said of a thing below its name."""
    rows = thing.facts.get("rows") or {}
    if rows:
        yield ", ".join(f"{count:,} {table}" for table, count in rows.items())
    for origin in thing.facts.get("origins", ()):
        by = f" by {origin['by']}" if origin["by"] else ""
        files = list(origin["files"].items())
        named = ", ".join(f"{file} ({count:,})" for file, count in files[:_FILES_SHOWN])
        more = origin["sources"] - len(files[:_FILES_SHOWN])
        line = f"{origin['answers']:,} answers, {origin['no_answers']:,} others: {origin['kind']}"
        line += f"{by}{f' from {named}' if named else ''}"
        yield line + (f" and {more:,} more files" if more > 0 else "")
    if thing.making is not None:
        settings = {
            k: v for k, v in thing.making.facts.items() if k in ("settings", "removed") and v
        }
        said = f": {json.dumps(settings, ensure_ascii=False)}" if settings else ""
        yield f"made by {thing.making.kind}{said}"
