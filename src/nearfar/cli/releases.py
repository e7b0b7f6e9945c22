"""`nearfar releases`: what stands in a registry, and which version is which."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.release import Registry

if TYPE_CHECKING:
    from nearfar.release.aliases import Aliases
    from nearfar.release.records import Release

_KEY = "ndcg_at_10_score"


def releases(
    registry: Registry,
    name: Annotated[str | None, typer.Argument(help="Of one model. Default: all.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every change of an alias: who, when and why.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show versions with their aliases, space, nDCG@10 with its 95 % interval, and date."""
    from nearfar.release.listing import models
    from nearfar.release.listing import releases as read

    found = {one: read(registry, one) for one in ([name] if name else models(registry))}
    if as_json:
        print(json.dumps({one: _facts(*both) for one, both in found.items()}, indent=1))
        return
    for one, (versions, aliases) in found.items():
        _show(one, versions, aliases)
        if history:
            _show_history(aliases)


def _facts(versions: "list[Release]", aliases: "Aliases") -> dict[str, object]:
    return {
        "versions": [{"version": one.version, **one.to_json()} for one in versions],
        "aliases": dict(aliases.named),
        "history": [asdict(one) for one in aliases.history],
    }


def _show(name: str, versions: "list[Release]", aliases: "Aliases") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(name), title_justify="left", box=None, padding=(0, 2, 0, 0),
                  pad_edge=False)  # fmt: skip
    table.add_column("version", no_wrap=True)
    table.add_column("aliases", overflow="fold")
    reranks = any(one.reranker for one in versions)
    for head in ("space", *(["reranker"] if reranks else []), "nDCG@10", "released"):
        table.add_column(head, no_wrap=True)
    for one in versions:
        meant = [alias for alias, version in aliases.named.items() if version == one.version]
        named = (one.space[:8], *([one.reranker[:8]] if reranks else []))
        cells = (one.version[:12], ", ".join(meant), *named, _mean(one), one.at[:10])
        table.add_row(*map(escape, cells))
    Console().print(table)


def _mean(release: "Release") -> str:
    from nearfar.evaluation.measure import NOTHING

    if (found := release.measures.get(_KEY)) is None:
        return NOTHING
    interval = f" [{found['low']:.3f}, {found['high']:.3f}]" if found["low"] is not None else ""
    return f"{found['mean']:.3f}{interval}"


def _show_history(aliases: "Aliases") -> None:
    from nearfar.release.markdown import line

    for one in aliases.history:
        was = f" (was {one.before[:12]})" if one.before else ""
        why = f": {one.why}" if one.why else ""
        said = f"{one.alias} is {one.version[:12]}{was}, {one.how} by {one.by}{why}"
        print(f"  {one.at}  {line(said)}")
