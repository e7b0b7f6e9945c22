"""`nearfar audit`: how hard negatives are, and a sheet for a person to mark."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import DatasetFolder, MaxTokens, Replace


def audit(
    dataset: DatasetFolder,
    folder: Annotated[
        Path | None, typer.Argument(help="With --marks: where the dataset with them will stand.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The encoder whose cosines tell hard from easy.")
    ] = None,
    reranker: Annotated[
        str | None, typer.Option(help="A cross-encoder that says which are probably answers.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Where the histogram of margins will lie, as SVG.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Where a sheet to be marked by a person will lie, as CSV.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Of the sheet.")] = 50,
    marks: Annotated[
        Path | None, typer.Option(help="A marked sheet, to be read back as judgments.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who marked it.")] = "",
    queries: Annotated[int, typer.Option(min=1, help="How many are looked at.")] = 1_000,
    max_tokens: MaxTokens = None,
    replace: Replace = False,
) -> None:
    """Say how hard the negatives of a dataset are, and how many are probably answers."""
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting
    from nearfar.mining.look import audit_negatives
    from nearfar.mining.picture import draw_margins
    from nearfar.mining.sheet import apply_sheet, write_sheet
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings

    if (marks is None) != (folder is None):
        raise BadSetting(
            "A marked sheet and a new folder go together: nearfar audit DATASET FOLDER --marks "
            f"SHEET. Found no {'--marks' if marks is None else 'FOLDER'}."
        )
    if model is None and (picture is not None or reranker is not None):
        raise BadSetting("--picture and --reranker need --model, the encoder to measure with.")
    if model is None and sheet is None and marks is None:
        raise BadSetting("Nothing to do: name --model, --sheet, or --marks with a FOLDER.")
    opened = Dataset.open(dataset)
    if model is not None:
        encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
        judge = None if reranker is None else load_reranker(reranker)
        with bars() as progress:
            found = audit_negatives(
                encoder, opened, teacher=judge, queries=queries, progress=progress
            )
        for sentence in found.sentences():
            print(sentence)
        if picture is not None:
            draw_margins(found, picture)
            print(f"{picture}: the histogram of margins.")
    if sheet is not None:
        count = write_sheet(opened, sheet, rows=rows)
        print(f"{sheet}: {count:,} negatives. Mark is_answer with yes or no, and save as CSV.")
    if marks is not None and folder is not None:
        marked = apply_sheet(opened, marks, folder, by=by, replace=replace)
        print(
            f"{folder}: {marked.answers:,} negatives were answers, {marked.wrong:,} were not, "
            f"{marked.unmarked:,} rows had no mark."
        )
