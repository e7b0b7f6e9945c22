"""`nearfar export`: a dataset becomes a folder that other tools of the field read."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import DatasetFolder, Replace


def export(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the BEIR folder will stand.")],
    replace: Replace = False,
) -> None:
    """Write corpus.jsonl, queries.jsonl and qrels/ as BEIR has them.

    Runs and judgments in TREC's format: `nearfar compare --runs`.
    """
    from nearfar.cli.talking import bars
    from nearfar.data.beir_out import write_beir
    from nearfar.data.dataset import Dataset

    with bars() as progress:
        found = write_beir(Dataset.open(dataset), folder, replace=replace, progress=progress)
    judged = ", ".join(f"{split} {count:,}" for split, count in found.judgments.items() if count)
    print(
        f"{folder}: {found.documents:,} documents, {found.queries:,} queries, judgments: {judged}."
    )
    for why, count in found.left_out.items():
        print(f"Left out: {count:,} judgments, {why}.")
