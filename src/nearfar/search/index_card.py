"""The card of an index: what it holds, and how many of the exact neighbours it finds, measured."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadRecord, require
from nearfar.progress import Progress, silent
from nearfar.records import Document, Scalar
from nearfar.search.live_index import LiveIndex
from nearfar.stores.contract import Found, Kind, Store
from nearfar.stores.filters import Condition, Where
from nearfar.vectors.similarity import unit

Asking = Literal["queries", "documents"]
_QUERIES_AT_ONCE = 64  # vectors of a query are as many as its hits are few: small blocks suffice
_TIE = 1e-6  # a document that is as near as the last exact one is as good as it


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """How much of the exact answer the approximate one holds, under one condition."""

    where: str  # as people write it; empty: all documents
    recall_score: float | None  # 0 to 1, a mean over queries; None: there is nothing to find
    least_score: float | None  # of the query that fares worst
    queries: int  # that anything matches for


def measure_card(
    index: LiveIndex,
    queries: Sequence[str],
    *,
    asking: Asking,
    at: str,
    stored_in: str = "",
    k: int = 10,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure an index, keep what was found in its facts, and return it.

        recall@k = |approximate and exact| / |exact|

    of the first k of each; a document as near as the last exact one counts as exact. Measured on
    all documents, and for each field on the most common and on the rarest value of what the
    queries find, or on what is no less than the median of a number.

    Args:
        index: what is measured.
        queries: texts as users write them.
        asking: whether they are queries, or for want of such documents.
        at: when, ISO 8601.
        stored_in: what kind of store it is.
        k: places looked at, 1 or more.
        progress: told after every condition.

    Raises:
        BadRecord: there is no query.
    """
    require(k >= 1, "k of a card", "1 or more", k)
    if not queries:
        raise BadRecord("Expected queries or documents to measure an index by, found none.")
    role: Literal["query", "document"] = "query" if asking == "queries" else "document"
    vectors = unit(index.encoder.encode(list(queries), role))
    store, facts = index.store, index.facts
    found = _nearest(store, vectors, k, (), exact=True)
    seen = store.fetch({one.id for some in found for one in some})
    tried: list[Where] = [(), *((one,) for one in _conditions(seen.values(), store.layout.fields))]
    recalls = []
    for done, where in enumerate(tried, start=1):
        recalls.append(_recall(store, vectors, k, where))
        progress("measure recall", done, len(tried))
    card = {
        "at": at,
        "stored_in": stored_in,
        "version": index.version,
        "model": facts.model,
        "space": facts.space.fingerprint,
        "dim": store.layout.dim,
        "documents": store.count(),
        "cutting": facts.cutting,
        "fields": dict(store.layout.fields),
        "words": store.layout.words,
        "pending": store.pending(),
        "k": k,
        "asking": asking,
        "recalls": [
            {"where": one.where, "recall_score": one.recall_score,
             "least_score": one.least_score, "queries": one.queries}
            for one in recalls
        ],
    }  # fmt: skip
    index.tell(replace(index.facts, card=card))
    return card


def _recall(store: Store, vectors: Float[Tensor, "Q D"], k: int, where: Where) -> Recall:
    exact = _nearest(store, vectors, k, where, exact=True)
    quick = _nearest(store, vectors, k, where, exact=False)
    shares = [_share(some, own) for some, own in zip(quick, exact, strict=True) if own]
    return Recall(
        where=" and ".join(_written(one) for one in where),
        recall_score=float(np.mean(shares)) if shares else None,
        least_score=min(shares, default=None),
        queries=len(shares),
    )


def _share(quick: Sequence[Found], exact: Sequence[Found]) -> float:
    names, last = {one.id for one in exact}, exact[-1].score
    held = sum(one.id in names or one.score >= last - _TIE for one in quick)
    return min(held, len(exact)) / len(exact)


def _nearest(
    store: Store, vectors: Float[Tensor, "Q D"], k: int, where: Where, *, exact: bool
) -> list[list[Found]]:
    return [
        found
        for some in torch.split(vectors, _QUERIES_AT_ONCE)
        for found in store.nearest(some, k, where=where, exact=exact)
    ]


def _conditions(documents: Iterable[Document], kinds: Mapping[str, Kind]) -> list[Condition]:
    """Return for each field what many documents have, and what few have."""
    read = list(documents)
    found: list[Condition] = []
    for name in sorted(kinds):
        values = [one.fields[name] for one in read if name in one.fields]
        if not values:
            continue
        if kinds[name] in ("integer", "number"):
            ordered = sorted(values, key=float)
            found.append(Condition(name, ">=", (ordered[len(ordered) // 2],)))
            continue
        counted: Counter[Scalar] = Counter(sorted(values, key=str))
        ranked = [value for value, _ in counted.most_common()]
        found += [
            Condition(name, "=", (value,)) for value in dict.fromkeys([ranked[0], ranked[-1]])
        ]
    return found


def _written(condition: Condition) -> str:
    values = "|".join(_said(value) for value in condition.values)
    return f"{condition.field}{condition.sign}{values}"


def _said(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe_card(card: Mapping[str, Any]) -> str:
    """Return a card for people."""
    who = "queries" if card["asking"] == "queries" else "documents as queries"
    cutting = card["cutting"]
    pieces = "whole" if cutting is None else (
        f"in pieces of at most {cutting['tokens']} tokens, {cutting['overlap']:.0%} shared"
    )  # fmt: skip
    fields = ", ".join(f"{name} ({kind})" for name, kind in sorted(card["fields"].items()))
    lines = [
        f"version     {card['version']}"
        + (f", in {card['stored_in']}" if card["stored_in"] else ""),
        f"model       {card['model'] or 'not said'}",
        f"space       {card['space']}, {card['dim']} dimensions",
        f"documents   {card['documents']:,}, {pieces}",
        f"searched by {'meaning and words' if card['words'] else 'meaning'}",
        f"fields      {fields or 'none'}",
        f"measured    {card['at'] or 'no date was said'}; vectors outside the approximate index: "
        f"{card['pending']:,}",
    ]
    for one in card["recalls"]:
        asked = f"{one['queries']:,} {who}, {one['where'] or 'all documents'}"
        lines.append(
            f"recall@{card['k']:<4} nothing to find, of {asked}"
            if one["recall_score"] is None
            else f"recall@{card['k']:<4} {one['recall_score']:.4f} "
            f"(least {one['least_score']:.2f}) of {asked}"
        )
    return "\n".join(lines)
