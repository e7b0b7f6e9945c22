"""`nearfar index`: documents become findable."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens, Replace


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
    max_tokens: MaxTokens = None,
    replace: Replace = False,
) -> None:
    """Embed every document of a dataset and keep the vectors with their space."""
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.search.index import build_index

    if storage not in ("float32", "float16"):
        raise BadSetting(f"--storage must be float32 or float16, got {storage!r}.")
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
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
