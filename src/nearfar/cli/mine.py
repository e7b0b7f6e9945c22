"""`nearfar mine`: documents that look like answers and are not."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens, Replace


def mine(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the dataset with negatives will stand.")],
    model: Base,
    finder: Annotated[
        list[str] | None,
        typer.Option(help="Who brings candidates: encoder (the default), bm25; repeatable, fused."),
    ] = None,
    negatives: Annotated[int, typer.Option(help="How many for each query.")] = 4,
    depth: Annotated[int, typer.Option(help="How many of the nearest are looked at.")] = 50,
    margin: Annotated[
        str,
        typer.Option(
            help="How far below the answer's score, as a share of it: 0 to 1, none, or auto: 0.05 "
            "if the miner ranks an answer first for half of the queries or more, else none."
        ),
    ] = "auto",
    guide: Annotated[
        str | None, typer.Option(help="Another encoder that may call a candidate an answer.")
    ] = None,
    reranker: Annotated[
        str | None, typer.Option(help="A cross-encoder that may call a candidate an answer.")
    ] = None,
    sampling: Annotated[str, typer.Option(help="Of the safe ones: top, random or score.")] = "top",
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, such as mining.first_rank=10; repeatable."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="A folder that keeps vectors for the next time.")
    ] = None,
    max_tokens: MaxTokens = None,
    replace: Replace = False,
) -> None:
    """Add hard negatives to the train split of a dataset, in a new dataset."""
    from nearfar.cli.talking import bars, say
    from nearfar.data.dataset import Dataset
    from nearfar.mining.judges import Judges
    from nearfar.mining.negatives import mine_negatives
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.recipe import free_settings

    options = [f"mining.negatives_per_query={negatives}", f"mining.depth={depth}",
               f"mining.relative_margin={margin}", f"mining.sampling={sampling!r}"]  # fmt: skip
    if finder:
        options.append(f"mining.finders={finder}")
    settings = free_settings([*options, *(change or [])]).mining
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
    judges = Judges(
        guide=None if guide is None else TextEncoder.load(guide),
        teacher=None if reranker is None else load_reranker(reranker),
    )
    with bars() as progress:
        found = mine_negatives(
            encoder, Dataset.open(dataset), folder, settings, judges=judges, cache=cache,
            progress=progress, replace=replace,
        )  # fmt: skip
    for reason, count in found.refused.items():
        say(f"refused: {count:,} {reason}")
    if found.recall is not None:
        say(f"The approximate search finds {found.recall:.1%} of the exact neighbours.")
    for sentence in found.sentences():
        say(sentence)
    print(
        f"{folder}: {found.negatives:,} negatives for {found.queries:,} queries, "
        f"{found.queries_with_none:,} queries got none."
    )
