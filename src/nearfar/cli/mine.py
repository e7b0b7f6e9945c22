"""`nearfar mine`: documents that look like answers and are not."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens, Replace


def mine(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the dataset with negatives will stand.")],
    model: Base,
    negatives: Annotated[int, typer.Option(help="How many for each query.")] = 4,
    depth: Annotated[int, typer.Option(help="How many of the nearest are looked at.")] = 50,
    margin: Annotated[
        float, typer.Option(help="How far below the answer's score, as a share of it.")
    ] = 0.05,
    max_tokens: MaxTokens = None,
    replace: Replace = False,
) -> None:
    """Add hard negatives to the train split of a dataset, in a new dataset."""
    from nearfar.cli.talking import bars, say
    from nearfar.data.dataset import Dataset
    from nearfar.mining.negatives import Mining, mine_negatives
    from nearfar.model.text import TextEncoder, TextSettings

    settings = Mining(negatives_per_query=negatives, depth=depth, relative_margin=margin)
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
    with bars() as progress:
        found = mine_negatives(
            encoder, Dataset.open(dataset), folder, settings, progress=progress, replace=replace
        )
    for reason, count in found.refused.items():
        say(f"refused: {count:,} {reason}")
    print(
        f"{folder}: {found.negatives:,} negatives for {found.queries:,} queries, "
        f"{found.queries_with_none:,} queries got none."
    )
