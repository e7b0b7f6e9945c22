"""`nearfar rollback`: one step back."""

from typing import Annotated

import typer

from nearfar.cli.release import By, Registry, Why, show, sign


def rollback(
    registry: Registry,
    name: Annotated[str, typer.Argument(help="Of the model.")],
    alias: Annotated[str, typer.Option(help="That shall mean again what it meant.")] = "production",
    why: Why = "",
    by: By = None,
) -> None:
    """Let an alias mean what it meant before its last promotion; again, what was before that."""
    from nearfar.release.registry import rollback as roll_back

    show(roll_back(registry, name, alias=alias, sign=sign(by, why)), name, alias)
