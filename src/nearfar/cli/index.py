"""`nearfar index`: documents become findable."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli import live_indexing
from nearfar.cli.options import Base, DatasetFolder, MaxTokens, Replace
from nearfar.cli.talking import bars


def _show_card(folder: Path | None) -> None:
    if folder is not None:
        live_indexing.show_card(folder)
        raise typer.Exit


def _switch(folder: Path | None) -> None:
    if folder is not None:
        live_indexing.go_to_newest(folder)
        raise typer.Exit


def _rollback(folder: Path | None) -> None:
    if folder is not None:
        live_indexing.go_to_former(folder)
        raise typer.Exit


def index(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the index will stand.")],
    model: Base,
    storage: Annotated[
        str, typer.Option(help="float32, or float16 for half the size.")
    ] = "float32",
    lexical: Annotated[
        bool, typer.Option("--lexical", help="Index words too (BM25), for `search --lexical`.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            help="files, written once; lance, or postgres://USER@HOST/DATABASE, which take writes. "
            "Default: what stands there, or files."
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Put in what is new or changed; go on where it ended.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Also take out what the dataset has no more. With --update."),
    ] = False,
    reindex: Annotated[
        bool,
        typer.Option(
            "--reindex",
            help="Build a version with another model beside the live one, and ask both the "
            "dataset's queries.",
        ),
    ] = False,
    piece_tokens: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Cut documents into pieces of so many tokens. Default: as the model reads; 0: "
            "leave them whole. Not for files.",
        ),
    ] = None,
    max_tokens: MaxTokens = None,
    replace: Replace = False,
    card: Annotated[
        Path | None,
        typer.Option(callback=_show_card, is_eager=True, help="Show the card of an index."),
    ] = None,
    switch: Annotated[
        Path | None,
        typer.Option(
            callback=_switch, is_eager=True, help="Make the version that --reindex built live."
        ),
    ] = None,
    rollback: Annotated[
        Path | None,
        typer.Option(
            callback=_rollback, is_eager=True, help="Make the version before it live again."
        ),
    ] = None,
) -> None:
    """Embed every document of a dataset and keep the vectors with their space."""
    from nearfar.errors import BadSetting
    from nearfar.model.text import TextEncoder, TextSettings

    if storage not in ("float32", "float16"):
        raise BadSetting(f"--storage must be float32 or float16, got {storage!r}.")
    takes_writes = live_indexing.is_live(folder) or store not in (None, "files")
    of_files = {"--storage float16": storage != "float32", "--replace": replace}
    of_others = {"--update": update, "--reindex": reindex,
                 "--piece-tokens": piece_tokens is not None}  # fmt: skip
    for name, given in (of_files if takes_writes else of_others).items():
        if given:
            raise BadSetting(
                f"{name} is for indexes "
                + ("of --store files, which are written once. Leave it out."
                   if takes_writes else "that take writes. Add --store lance.")
            )  # fmt: skip
    if prune and not update:
        raise BadSetting("--prune takes out what the dataset has no more. Add --update.")
    if update and reindex:
        raise BadSetting("--update and --reindex are two steps. First --update, then --reindex.")
    settings = TextSettings(max_tokens=max_tokens)
    if takes_writes:
        place = live_indexing.place_of(folder, store, may_exist=update or reindex)
        if reindex:
            live_indexing.build_beside(dataset, place, model, settings, piece_tokens)
        else:
            live_indexing.put_in(dataset, place, model, settings, piece_tokens, prune=prune)
        return
    from nearfar.data.dataset import Dataset
    from nearfar.search.index import build_index

    encoder = TextEncoder.load(model, settings)
    with bars() as progress:
        built = build_index(
            encoder,
            Dataset.open(dataset),
            folder,
            storage=storage,  # type: ignore[arg-type]  # held against the choices above
            lexical=lexical,
            progress=progress,
            replace=replace,
        )
    words = ", and their words" if lexical else ""
    print(f"{folder}: {len(built):,} documents in space {built.space.fingerprint}{words}.")
