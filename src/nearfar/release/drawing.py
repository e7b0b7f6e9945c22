"""Draws which queries to label: those of cohorts that lack most, one of each cluster first.

Shapes: U queries that could be labelled.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearfar.release.needs import Divided, Need
from nearfar.release.policy import ALL, named

Ints = npt.NDArray[np.int64]

_NEVER = np.iinfo(np.int64).max  # the turn of what is used up


@dataclass(frozen=True, slots=True)
class Drawn:
    """A query to label, and the cohort that it was drawn for."""

    query_id: str
    cohort: str


@dataclass(frozen=True, slots=True)
class _Stratum:
    """Queries with the same values of all fields, in the order in which they are drawn."""

    cohorts: tuple[str, ...]
    rows: Ints
    turns: Ints  # how many of its cluster come before each


def draw(
    pool: Divided,
    clusters: Sequence[str],
    needs: Sequence[Need],
    *,
    most: int,
    seen: Mapping[str, int] | None = None,
    seed: int = 0,
) -> list[Drawn]:
    """Draw queries until no cohort lacks any, there are none left, or there are `most`.

    A stratum is all queries with the same values of all fields. Each draw takes from the one
    whose cohorts lack the largest shares of what they need, added up; within it, by hash. A
    second query of a cluster comes only when no stratum has a first one left: two of a cluster
    say less than two of different ones.

    Args:
        pool: what could be labelled.
        clusters: (U,) what each query hangs together with.
        needs: of each cohort.
        most: queries.
        seen: of a cluster, how many of its queries are labelled already.
        seed: of the hash; more queries or another budget do not move those drawn before.
    """
    strata = _strata(pool, clusters, seen or {}, seed)
    if not strata:
        return []
    cohorts = list(dict.fromkeys(need.cohort for need in needs))
    lacking, needed = np.zeros(len(cohorts) + 1), np.ones(len(cohorts) + 1)
    for need in needs:
        if need.missing > lacking[at := cohorts.index(need.cohort)]:
            lacking[at], needed[at] = need.missing, need.needed
    place_of = {name: place for place, name in enumerate(cohorts)}  # what nobody needs: the last
    members = np.array(
        [[place_of.get(name, len(cohorts)) for name in one.cohorts] for one in strata]
    )
    taken = np.zeros(len(strata), dtype=np.int64)
    turns = np.array([one.turns[0] for one in strata])
    drawn: list[Drawn] = []
    while len(drawn) < most:
        share = lacking / needed
        worth = np.where(turns < _NEVER, share[members].sum(1), 0.0)
        if not (worth > 0).any():
            break
        first = turns == turns[worth > 0].min()
        at = int(np.where(first, worth, 0.0).argmax())
        one, own = strata[at], members[at]
        neediest = own[int(share[own].argmax())]
        drawn.append(Drawn(pool.ids[one.rows[taken[at]]], cohorts[neediest]))
        lacking[own] = np.maximum(lacking[own] - 1, 0)
        taken[at] += 1
        turns[at] = one.turns[taken[at]] if taken[at] < len(one.rows) else _NEVER
    return drawn


def shuffled(query_id: str, documents: Sequence[str], seed: int) -> list[str]:
    """Return documents in an order that says nothing of who found them, and where."""
    return sorted(documents, key=lambda id_: _hash(seed, query_id, id_))


def pooled(rankings: Sequence[Mapping[str, Sequence[str]]], query_id: str, depth: int) -> list[str]:
    """Return what any of some systems found within its first places, each once.

    Source: Spärck Jones and van Rijsbergen 1975; pooling as in TREC, Harman 1993.
    """
    found: dict[str, None] = {}
    for ranking in rankings:
        found |= dict.fromkeys(ranking.get(query_id, ())[:depth])
    return list(found)


def dealt(
    query_ids: Sequence[str], labellers: Sequence[str], overlap: float, seed: int
) -> dict[str, tuple[str, ...]]:
    """Return who marks each query: one, or two of a share that tells how far they agree.

    Args:
        query_ids: in any order.
        labellers: names; none: everyone marks everything.
        overlap: share of the queries that two mark, 0 to 1; all of those with the lowest hash.
        seed: of the hash.
    """
    if not labellers:
        return dict.fromkeys(query_ids, ())
    unique = sorted(set(query_ids), key=lambda id_: _hash(seed, "overlap", id_))
    twice = round(overlap * len(unique))
    found: dict[str, tuple[str, ...]] = {}
    load: Counter[str] = Counter(dict.fromkeys(labellers, 0))
    for place, id_ in enumerate(unique):
        order = sorted(load, key=lambda name: (load[name], _hash(seed, name, id_)))
        chosen = order[: 2 if place < twice else 1]
        load.update(chosen)
        found[id_] = tuple(sorted(chosen))
    return found


def _strata(
    pool: Divided, clusters: Sequence[str], seen: Mapping[str, int], seed: int
) -> list[_Stratum]:
    if not pool.ids:
        return []
    hashes = np.array([_hash(seed, "query", id_) for id_ in pool.ids], dtype=np.uint64)
    turns = _turns(hashes, clusters, seen)
    rows_of: dict[tuple[str, ...], list[int]] = {}
    columns = list(pool.labels.values())
    for row in range(len(pool.ids)):
        rows_of.setdefault(tuple(column[row] for column in columns), []).append(row)
    found = []
    for values in sorted(rows_of):
        rows = np.array(rows_of[values], dtype=np.int64)
        rows = rows[np.lexsort((hashes[rows], turns[rows]))]
        names = [named(field, value) for field, value in zip(pool.labels, values, strict=True)]
        found.append(_Stratum((ALL, *names), rows, turns[rows]))
    return found


def _turns(
    hashes: npt.NDArray[np.uint64], clusters: Sequence[str], seen: Mapping[str, int]
) -> Ints:
    """Return how many of its cluster come before each query, those already labelled too."""
    found, members = np.unique(np.array(clusters), return_inverse=True)
    order = np.lexsort((hashes, members))
    starts = np.searchsorted(members[order], np.arange(len(found)))
    turns = np.empty(len(hashes), dtype=np.int64)
    turns[order] = np.arange(len(hashes)) - starts[members[order]]
    before = np.array([seen.get(str(name), 0) for name in found], dtype=np.int64)
    turns += before[members]
    return turns


def _hash(seed: int, *words: str) -> int:
    digest = hashlib.sha256("\0".join((f"nearfar plan {seed}", *words)).encode()).digest()
    return int.from_bytes(digest[:8], "big")
