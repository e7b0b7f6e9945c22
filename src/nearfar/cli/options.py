"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DatasetFolder = Annotated[Path, typer.Argument(help="A folder made by `nearfar import`.")]
Base = Annotated[
    str, typer.Option("--model", help="A folder, package:NAME, or the id of a model on the hub.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Take the place of what stands there already.")
]
MaxTokens = Annotated[
    int | None, typer.Option(min=1, help="Cut texts there. Default: as the model says.")
]
Lexical = Annotated[bool, typer.Option("--lexical", help="Words (BM25) help to find candidates.")]
LexicalWeight = Annotated[
    float | None,
    typer.Option(help="How much words count beside meaning, 0 to 1. Default: by ranks (RRF)."),
]
Baseline = Annotated[
    Path | None, typer.Option(help="Results of what is in use, on the same queries.")
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(help="The bar, in TOML. Default: no cohort may lose 0.02 of nDCG@10."),
]
