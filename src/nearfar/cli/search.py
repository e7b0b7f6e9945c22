"""`nearfar search`: ask an index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.cli.options import Lexical, LexicalWeight, MaxTokens
from nearfar.cli.talking import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearfar.records import Document
    from nearfar.search.reranked import Reranked, RerankedHit
    from nearfar.search.search import Hit


def search(
    question: Annotated[str, typer.Argument(help="What is asked.")],
    index: Annotated[Path, typer.Option(help="A folder made by `nearfar index`.")],
    model: Annotated[str, typer.Option(help="The model it was made with.")],
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 5,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=VALUE that hits must have; repeatable. An index that takes writes also "
            "knows !=, <, <=, >, >= and A|B."
        ),
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(help="A cross-encoder that reads the first candidates.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="How many it reads. Default: 100, or -k if that is more.")
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(help="Stop reading after so many milliseconds in all.")
    ] = None,
    lexical: Lexical = False,
    lexical_weight: LexicalWeight = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which words and which piece of a hit answer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line a hit.")] = False,
    max_tokens: MaxTokens = None,
) -> None:
    """Print the documents nearest in meaning, with scores and sources."""
    from nearfar.cli import live_searching
    from nearfar.cli.live_indexing import is_live
    from nearfar.errors import BadSetting, require
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.search.index import open_index, open_lexical
    from nearfar.search.search import search as find

    if not question.strip():
        raise BadSetting("The question is empty. Write what you look for between quotes.")
    if rerank is None and (candidates is not None or budget_ms is not None):
        raise BadSetting("--candidates and --budget-ms are for a reranker. Name it with --rerank.")
    if lexical_weight is not None:
        if not lexical:
            raise BadSetting("--lexical-weight is for words. Add --lexical.")
        require(0 <= lexical_weight <= 1, "--lexical-weight", "between 0 and 1", lexical_weight)
    require(budget_ms is None or budget_ms > 0, "--budget-ms", "above 0", budget_ms)
    if is_live(index):
        live_searching.search(
            live_searching.Question(question, k, tuple(where or ()), lexical, lexical_weight,
                                    rerank, candidates, budget_ms, explain, as_json),
            index, model, max_tokens,
        )  # fmt: skip
        return
    parts = [clause.partition("=") for clause in where or []]
    if bad := [field for field, equals, _ in parts if not equals]:
        raise BadSetting(f"--where needs FIELD=VALUE such as language=de, got {bad[0]!r}.")
    if explain:
        raise BadSetting("--explain is for indexes that take writes (`nearfar index --store`).")
    opened = open_index(index)
    words = open_lexical(opened) if lexical else None
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
    among = {field: value for field, _, value in parts} or None
    if rerank is None and words is None:
        hits = find(opened, encoder, question, k=k, where=among)
        if as_json:
            _print_lines(_row(hit, {"score": round(hit.score, 6)}) for hit in hits)
        else:
            show(question, hits)
        return
    from nearfar.model.rerankers import load_reranker
    from nearfar.search.candidates import Fusion
    from nearfar.search.reranked import retrieve_then_rerank

    reranker = None if rerank is None else load_reranker(rerank)
    fusion = None if words is None else Fusion.by_lexical_weight(words, lexical_weight)
    # A first call loads libraries and wakes threads: neither is what a budget is for. It asks
    # something else, so that what is timed finds nothing of its own warm, in words that are known.
    waking = opened.documents.fetch([0])[0].content[:100]
    retrieve_then_rerank(opened, encoder, reranker, waking, k=1, candidates=1, fusion=fusion)
    found = retrieve_then_rerank(
        opened,
        encoder,
        reranker,
        question,
        k=k,
        candidates=max(100, k) if candidates is None else candidates,
        budget_seconds=None if budget_ms is None else budget_ms / 1_000,
        where=among,
        fusion=fusion,
    )
    if as_json:
        _print_lines(_reranked_row(hit, found) for hit in found.hits)
        say(_timing(found))
    else:
        _show_reranked(question, found)


def show(question: str, hits: "Sequence[Hit]") -> None:
    """Print a question and what was found, for people."""
    _show(question, [(hit.rank, f"{hit.score:.3f}", hit.document) for hit in hits])


def _show_reranked(question: str, found: "Reranked") -> None:
    _show(question, [(hit.rank, _why(hit), hit.document) for hit in found.hits])
    print(f"\n{_timing(found)}")


def _show(question: str, rows: "Sequence[tuple[int, str, Document]]") -> None:
    from textwrap import shorten

    from rich.console import Console
    from rich.markup import escape

    console = Console()
    console.print(f"\n[bold]{escape(question)}[/]")
    for rank, why, document in rows:
        line = shorten(document.content, max(console.width - 12, 20), placeholder=" ...")
        console.print(
            f"{rank:>3}  {escape(why)}  [cyan]{escape(document.source)}[/]", soft_wrap=True
        )
        console.print(f"            {line}", markup=False, highlight=False, soft_wrap=True)


def _why(hit: "RerankedHit") -> str:
    """Say where meaning and words put a document, and what the reranker made of it."""
    one = hit.found
    parts = [] if hit.score is None else [f"rerank {hit.score:.2f}"]
    parts.append(f"meaning {_place(one.vector_rank)} ({one.cosine:.3f})")
    if one.bm25 is not None:
        parts.append(f"words {_place(one.word_rank)} ({one.bm25:.2f})" if one.bm25 else "no word")
    return " · ".join(parts)


def _place(rank: int | None) -> str:
    return "not among the first" if rank is None else f"#{rank}"


def _timing(found: "Reranked") -> str:
    took = found.seconds
    if found.reranked or found.stopped_by_budget:
        why = ", stopped by the budget" if found.stopped_by_budget else ""
        done = f"{found.reranked:,} of {found.candidates:,} candidates reranked{why}"
    else:
        done = f"{found.candidates:,} candidates"
    stages = {"query encoded": took.encoding, "candidates found": took.retrieving,
              "read from disk": took.fetching, "reranked": took.reranking}  # fmt: skip
    times = ", ".join(f"{what} in {1e3 * part:,.1f} ms" for what, part in stages.items())
    return f"{done}; {times}."


def _print_lines(rows: "Iterable[dict[str, Any]]") -> None:
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def _row(hit: "Hit | RerankedHit", scores: dict[str, Any]) -> dict[str, Any]:
    document = hit.document
    return {
        "rank": hit.rank,
        **scores,
        "id": document.id,
        "source": document.source,
        "content": document.content,
        "fields": dict(document.fields),
    }


def _reranked_row(hit: "RerankedHit", answer: "Reranked") -> dict[str, Any]:
    one = hit.found
    scores = {"rerank_score": hit.score, "retrieval_score": one.score,
              "cosine": one.cosine, "bm25": one.bm25}  # fmt: skip
    rounded = {name: None if value is None else round(value, 6) for name, value in scores.items()}
    ranks = {"retrieval_rank": one.rank, "vector_rank": one.vector_rank, "word_rank": one.word_rank}
    # On each line: whoever reads one hit knows how much of the list above and below was read.
    done = {"candidates": answer.candidates, "reranked": answer.reranked,
            "stopped_by_budget": answer.stopped_by_budget}  # fmt: skip
    return _row(hit, rounded | ranks) | done
