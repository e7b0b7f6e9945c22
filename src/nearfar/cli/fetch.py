"""`nearfar fetch`: a checked copy of a released model."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import Replace
from nearfar.cli.release import Registry


def fetch(
    registry: Registry,
    what: Annotated[
        str, typer.Argument(metavar="NAME@ALIAS", help="Or NAME@VERSION, its first 8 digits.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where the model will stand.")],
    replace: Replace = False,
) -> None:
    """Take a model out of a registry, held against its digests, whole or not at all.

    FOLDER is a folder of sentence-transformers, of an encoder or a reranker, with its card;
    verdict, report and digests are in FOLDER/release.
    """
    from nearfar.errors import BadSetting
    from nearfar.release.fetching import fetch as take
    from nearfar.release.listing import find
    from nearfar.release.places import open_place

    name, sign, which = what.rpartition("@")
    if not (sign and name and which):
        raise BadSetting(f"Expected NAME@ALIAS or NAME@VERSION, found {what!r}.")
    place = open_place(registry)
    release = find(place, name, which)
    take(place, release, folder, replace=replace)
    what = f"the reranker {release.reranker}, judged behind" if release.reranker else "in"
    print(f"{folder}: {name} {release.version[:12]}, {what} the space {release.space}.")
