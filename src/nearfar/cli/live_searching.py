"""What `nearfar search` does with an index that takes writes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from nearfar.cli.talking import say

if TYPE_CHECKING:
    from nearfar.model.reranker import Reranker
    from nearfar.search.explained import LiveHit
    from nearfar.search.live_index import LiveIndex
    from nearfar.search.live_search import Answer

_SHOWN = 200  # characters of a document or a piece


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and how."""

    text: str
    k: int
    where: tuple[str, ...]
    lexical: bool
    lexical_weight: float | None
    rerank: str | None
    candidates: int | None
    budget_ms: float | None
    explain: bool
    as_json: bool


def search(asked: Question, folder: Path, model: str, max_tokens: int | None) -> None:
    """Print the documents that answer a question."""
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.search.live_folder import read_folder
    from nearfar.search.live_index import LiveIndex

    shelf = read_folder(folder).shelf()
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
    reranker: Reranker | None = None if asked.rerank is None else load_reranker(asked.rerank)
    index = LiveIndex.open(shelf, encoder, reranker=reranker)
    try:
        answer = _answer(index, asked)
    finally:
        index.close()
    if asked.as_json:
        for hit in answer.hits:
            print(json.dumps(hit.to_json() | _done(asked, answer), ensure_ascii=False))
    else:
        for line in _lines(asked.text, answer):
            print(line)
    if asked.lexical or asked.rerank is not None:
        say(_timing(answer)) if asked.as_json else print(f"\n{_timing(answer)}")


def _answer(index: "LiveIndex", asked: Question) -> "Answer":
    from nearfar.search.live_search import Words
    from nearfar.stores.filters import read_where

    words: Words = None
    if asked.lexical:
        words = "ranks" if asked.lexical_weight is None else asked.lexical_weight
    where = read_where(asked.where, index.store.layout.fields)
    rerank = asked.rerank is not None
    if asked.budget_ms is not None:
        # A first call loads libraries and wakes threads: neither is what a budget is for.
        waking = next((one.content[:100] for one in index.store.scan()), "")
        index.search([waking], k=1, words=words, rerank=rerank, candidates=1)
    (answer,) = index.search(
        [asked.text],
        k=asked.k,
        where=where,
        words=words,
        rerank=rerank,
        candidates=asked.candidates,
        budget_ms=asked.budget_ms,
        explain=asked.explain,
    )
    return answer


def _lines(question: str, answer: "Answer") -> Iterator[str]:
    yield f"\n{question}"
    for hit in answer.hits:
        yield f"{hit.rank:>3}  {_why(hit)}  {hit.document.source}"
        text = hit.document.content if hit.why is None else hit.why.text
        yield f"            {shorten(text, _SHOWN, placeholder=' ...')}"
        if hit.why is not None:
            start, stop = hit.why.span
            terms = ", ".join(hit.why.terms) or "none"
            yield (
                f"            piece {hit.why.piece + 1} of {hit.why.pieces} (characters {start:,} "
                f"to {stop:,}); words of the question: {terms}"
            )


def _why(hit: "LiveHit") -> str:
    """Say where meaning and words put a document, and what the reranker made of it."""
    parts = [] if hit.rerank_score is None else [f"rerank {hit.rerank_score:.2f}"]
    if hit.cosine is not None:
        parts.append(f"meaning #{hit.vector_rank} ({hit.cosine:.3f})")
    if hit.word_score is not None:
        parts.append(f"words #{hit.word_rank} ({hit.word_score:.2f})")
    return " · ".join(parts)


def _done(asked: Question, answer: "Answer") -> dict[str, int | bool]:
    if asked.rerank is None:
        return {}
    # On each line: whoever reads one hit knows how much of the list above and below was read.
    return {"candidates": answer.candidates, "reranked": answer.reranked,
            "stopped_by_budget": answer.stopped_by_budget}  # fmt: skip


def _timing(answer: "Answer") -> str:
    took = answer.seconds
    read = f", {answer.reranked:,} of them reranked" if answer.reranked else ""
    why = ", stopped by the budget" if answer.stopped_by_budget else ""
    stages = {"query encoded": took.encoding, "candidates found": took.retrieving,
              "documents fetched": took.fetching, "reranked": took.reranking}  # fmt: skip
    times = ", ".join(f"{what} in {1e3 * part:,.1f} ms" for what, part in stages.items())
    return f"{answer.candidates:,} candidates{read}{why}; {times}."
