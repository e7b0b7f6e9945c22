"""`nearfar promote`: let an alias such as production mean a released version."""

from typing import Annotated

import typer

from nearfar.cli.release import By, Registry, TestSet, Why, refused, show, sign


def promote(
    registry: Registry,
    name: Annotated[str, typer.Argument(help="Of the model.")],
    version: Annotated[
        str, typer.Argument(help="An alias, or the first 8 or more digits of a version.")
    ],
    alias: Annotated[str, typer.Option(help="The alias that shall mean it.")] = "production",
    dataset: TestSet = None,
    why: Why = "",
    by: By = None,
) -> None:
    """Promote a released version, if all of it is as it was and its verdict still passes.

    Exit code 3: the verdict blocks it, perhaps since a waiver has ended. 4: its evidence was not
    enough. 5: its verdict is on another model or dataset.
    """
    from nearfar.release.registry import promote as promote_it

    with refused():
        done = promote_it(registry, name, version, to=alias, sign=sign(by, why), dataset=dataset)
    show(done, name, alias)
