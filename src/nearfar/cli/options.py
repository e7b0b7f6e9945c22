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
