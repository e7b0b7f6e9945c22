"""`nearfar import`: a source becomes a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import Replace

Column = Annotated[str | None, typer.Option(help="Its column. Default: guessed, and said.")]


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="A BEIR folder; a JSONL, CSV, TSV or Parquet file of pairs or triplets (.gz too); "
            "a 🤗 datasets folder; or python-docs, the documentation of this Python."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Where the dataset will stand.")],
    licence: Annotated[str, typer.Option(help="SPDX name of the texts' licence.")] = "unknown",
    query: Column = None,
    document: Column = None,
    negative: Annotated[list[str] | None, typer.Option(help="A column; repeatable.")] = None,
    grade: Column = None,
    query_id: Column = None,
    document_id: Column = None,
    group: Annotated[
        str | None, typer.Option(help="Column or field whose documents stay in one split.")
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="Column to keep for cohorts; repeatable.")
    ] = None,
    package: Annotated[
        list[str] | None,
        typer.Option(
            help="python-docs: what to read: an installed package, python (its library, the "
            "default) or all; repeatable."
        ),
    ] = None,
    split_anew: Annotated[
        bool, typer.Option("--split-anew", help="Divide by hash even if the source has splits.")
    ] = False,
    dev: Annotated[float, typer.Option(help="Share of the groups that goes to dev.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the groups that goes to test.")] = 0.1,
    replace: Replace = False,
) -> None:
    """Read a source and write a dataset: documents, queries, judgments, each with its origin."""
    from nearfar.cli.talking import bars, say
    from nearfar.data.columns import Columns
    from nearfar.data.importing import ImportOptions, import_source
    from nearfar.data.splits import Shares

    columns = Columns(
        query=query,
        document=document,
        negative=tuple(negative) if negative else None,
        grade=grade,
        query_id=query_id,
        document_id=document_id,
        group=group,
        fields=tuple(field) if field else None,
    )
    options = ImportOptions(
        licence=licence,
        shares=Shares(dev=dev, test=test),
        keep_splits=not split_anew,
        group_field=group or "",
        columns=columns,
        packages=tuple(package) if package else None,
    )
    with bars() as progress:
        found = import_source(source, folder, options, progress=progress, replace=replace)
    for sentence in found.sentences:
        say(sentence)
    for what, count in [*found.left_out.items(), *_repeats(found.merged)]:
        say(f"left out: {count:,} {what}")
    manifest = found.dataset.manifest
    rows = ", ".join(f"{count:,} {table}" for table, count in manifest["rows"].items())
    splits = ", ".join(f"{n} {c['judgments']:,}" for n, c in manifest["splits"].items())
    state = "unchanged" if found.unchanged else "written"
    print(f"{folder}: {rows} ({splits} judgments), {state}.")


def _repeats(merged: object) -> list[tuple[str, int]]:
    assert isinstance(merged, dict)
    return [(f"{table} that only repeated another", count) for table, count in merged.items()]
