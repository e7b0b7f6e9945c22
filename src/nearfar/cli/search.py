"""`nearfar search`: ask an index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import MaxTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfar.search.search import Hit


def search(
    question: Annotated[str, typer.Argument(help="What is asked.")],
    index: Annotated[Path, typer.Option(help="A folder made by `nearfar index`.")],
    model: Annotated[str, typer.Option(help="The model it was made with.")],
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 5,
    where: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE that hits must have; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line a hit.")] = False,
    max_tokens: MaxTokens = None,
) -> None:
    """Print the documents nearest in meaning, with scores and sources."""
    from nearfar.errors import BadSetting
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.search.index import open_index
    from nearfar.search.search import search as find

    parts = [clause.partition("=") for clause in where or []]
    if bad := [field for field, equals, _ in parts if not equals]:
        raise BadSetting(f"--where needs FIELD=VALUE such as language=de, got {bad[0]!r}.")
    if not question.strip():
        raise BadSetting("The question is empty. Write what you look for between quotes.")
    opened = open_index(index)
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
    hits = find(opened, encoder, question, k=k, where={f: v for f, _, v in parts} or None)
    if as_json:
        for hit in hits:
            print(json.dumps(_row(hit), ensure_ascii=False))
    else:
        show(question, hits)


def show(question: str, hits: "Sequence[Hit]") -> None:
    """Print a question and what was found, for people."""
    from textwrap import shorten

    from rich.console import Console
    from rich.markup import escape

    console = Console()
    console.print(f"\n[bold]{escape(question)}[/]")
    for hit in hits:
        line = shorten(hit.document.content, max(console.width - 12, 20), placeholder=" ...")
        console.print(f"{hit.rank:>3}  {hit.score:.3f}  [cyan]{escape(hit.document.source)}[/]")
        console.print(f"            {line}", markup=False, highlight=False, soft_wrap=True)


def _row(hit: "Hit") -> dict[str, object]:
    document = hit.document
    return {
        "rank": hit.rank,
        "score": round(hit.score, 6),
        "id": document.id,
        "source": document.source,
        "content": document.content,
        "fields": dict(document.fields),
    }
