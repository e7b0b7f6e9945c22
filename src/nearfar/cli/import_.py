"""`nearfar import`: a source becomes a dataset."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nearfar.cli.options import Replace
from nearfar.errors import BadSetting

if TYPE_CHECKING:
    from nearfar.data.rejects import Tally

Column = Annotated[str | None, typer.Option(help="Its column. Default: guessed, and said.")]


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="A BEIR folder; a JSONL, CSV, TSV, text or Parquet file (.gz too); a 🤗 datasets "
            "folder; hub:ORG/NAME[:CONFIG][@REVISION]; or python-docs, the documentation of this "
            "Python."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Where the dataset will stand.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="KIND",
            help="What a row means: pairs (the default), faq, titles, paraphrases, nli, sts, "
            "translations, labels, tickets, texts, clicks. Each guesses its usual columns, and "
            "says so.",
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX name of the texts' licence.")] = "unknown",
    on_error: Annotated[
        str,
        typer.Option(
            metavar="refuse|reject",
            help="A row that breaks its contract: refuse the source, naming the line; or reject "
            "the row into FOLDER/rejects.jsonl, and go on.",
        ),
    ] = "refuse",
    query: Column = None,
    document: Column = None,
    negative: Annotated[list[str] | None, typer.Option(help="A column; repeatable.")] = None,
    grade: Column = None,
    query_id: Column = None,
    document_id: Column = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Its column. nli: the verdict; labels: the intent; tickets: whether it is solved."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="translations: the column that names the language.")
    ] = None,
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
    score_max: Annotated[
        float | None, typer.Option(help="sts: the highest score there can be. Default: guessed.")
    ] = None,
    pivot: Annotated[
        str, typer.Option(help="translations by key: the language of the documents.")
    ] = "",
    documents_per_label: Annotated[
        int, typer.Option(help="labels: texts of a label that its others are to find.")
    ] = 8,
    pairs_per_label: Annotated[
        int, typer.Option(help="labels: most judgments of a label in each split.")
    ] = 1_000,
    out_of_scope: Annotated[
        list[str] | None,
        typer.Option(help="labels: one whose texts have no answer; repeatable. Default: oos."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(
            help="texts: same (the default), deletion, crop, letters, keyboard; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="labels, texts: of what is drawn.")] = 0,
    documents: Annotated[
        str,
        typer.Option(
            help="clicks: where the documents' texts are: a file with id and text, a BEIR folder "
            "or a dataset. Default: in the log."
        ),
    ] = "",
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="clicks: any other setting, such as clicks.propensity=power or "
            "click_columns.shown=results; repeatable.",
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
    from nearfar.lineage.tombstones import returned

    named: dict[str, Any] = {
        "query": query, "document": document, "fields": tuple(field) if field else None
    }  # fmt: skip
    is_clicks = kind == "clicks"  # its columns are other ones, some by the same options
    columns = Columns(
        **({} if is_clicks else named),
        negative=tuple(negative) if negative else None,
        grade=grade,
        query_id=query_id,
        document_id=document_id,
        group=group,
        label=label,
        language=language,
    )
    more: dict[str, Any] = {"out_of_scope": tuple(out_of_scope)} if out_of_scope else {}
    options = ImportOptions(
        kind=kind,
        on_error=_choice(on_error),
        licence=licence,
        shares=Shares(dev=dev, test=test),
        keep_splits=not split_anew,
        group_field=group or "",
        columns=columns,
        packages=tuple(package) if package else None,
        score_max=score_max,
        pivot=pivot,
        documents_per_label=documents_per_label,
        pairs_per_label=pairs_per_label,
        views=tuple(view) if view else ("same",),
        seed=seed,
        documents=documents,
        **_of_clicks(is_clicks, change or [], named),
        **more,
    )
    with bars() as progress:
        found = import_source(source, folder, options, progress=progress, replace=replace)
    for sentence in found.sentences:
        say(sentence)
    for what, count in [*found.left_out.items(), *_repeats(found.merged)]:
        if what not in found.tally.left_out:  # rows are told of next
            say(f"left out: {count:,} {what}")
    _say_rows(found.tally, folder)
    if again := returned(found.dataset, Path()):
        say(f"{again:,} texts were forgotten in this workspace before (see `nearfar forget`).")
    manifest = found.dataset.manifest
    rows = ", ".join(f"{count:,} {table}" for table, count in manifest["rows"].items())
    splits = ", ".join(f"{n} {c['judgments']:,}" for n, c in manifest["splits"].items())
    state = "unchanged" if found.unchanged else "written"
    print(f"{folder}: {rows} ({splits} judgments), {state}.")


def _of_clicks(is_clicks: bool, changes: list[str], named: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the kind clicks; some columns have options of their own."""
    if changes and not is_clicks:
        raise BadSetting("--set: only the kind clicks has further settings. Add --as clicks.")
    if not is_clicks:
        return {}
    from nearfar.data.kinds import ReadOptions

    found = ReadOptions()
    if changes:
        for change in changes:
            if not change.strip().startswith(("clicks.", "click_columns.")):
                raise BadSetting(
                    "--set: expected a setting that begins with clicks. or click_columns., got "
                    f"{change!r}. Others are options of their own: see `nearfar import --help`."
                )
        from nearfar.pipeline.settings import changed

        found = changed(ReadOptions, changes)
    columns = replace(found.click_columns, **{k: v for k, v in named.items() if v is not None})
    return {"clicks": found.clicks, "click_columns": columns}


def _choice(on_error: str) -> Literal["refuse", "reject"]:
    choices: dict[str, Literal["refuse", "reject"]] = {"refuse": "refuse", "reject": "reject"}
    if on_error not in choices:
        raise BadSetting(f"--on-error: expected {' or '.join(choices)}, got {on_error!r}.")
    return choices[on_error]


def _say_rows(tally: "Tally", folder: Path) -> None:
    """Say what became of each row, where not all of them were simply taken."""
    from nearfar.cli.talking import say

    for what, count in tally.left_out.most_common():
        say(f"left out: {count:,} {what}")
    for reason, count in tally.rejected.most_common():
        say(f"rejected: {count:,} {reason}")
    rejected, left_out = tally.rejected.total(), tally.left_out.total()
    if rejected or left_out:
        say(
            f"{tally.read:,} rows read: {tally.accepted:,} accepted, {tally.merged:,} repeated "
            f"others, {rejected:,} rejected, {left_out:,} left out."
            + (f" See {folder / 'rejects.jsonl'}." if rejected else "")
        )


def _repeats(merged: object) -> list[tuple[str, int]]:
    assert isinstance(merged, dict)
    return [(f"{table} that only repeated another", count) for table, count in merged.items()]
