"""Draws which queries to label: those of cohorts that lack most, one of each cluster first.

Shapes: U queries that could be labelled.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearfar.release.needs import Divided, Need, named
from nearfar.release.policy import ALL

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A query to label, and the cohort that it was drawn for."""

    query_id: str
    cohort: str


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
    lacking: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for need in needs:
        if need.missing >= lacking.get(need.cohort, 0):
            lacking[need.cohort], wanted[need.cohort] = need.missing, need.needed
    strata = _strata(pool, clusters, seen or {}, seed)
    heap = []
    for number, (names, rows, turns) in enumerate(strata):
        heap.append((turns[0], -_need(names, lacking, wanted), number, 0))
        assert len(rows), "a stratum has queries"
    heapq.heapify(heap)
    drawn: list[Drawn] = []
    while heap and len(drawn) < most:
        turn, before, number, place = heapq.heappop(heap)
        names, rows, turns = strata[number]
        now = -_need(names, lacking, wanted)
        if now == 0:
            continue  # and it stays so: nothing ever lacks more
        if now != before:  # others have given to its cohorts since
            heapq.heappush(heap, (turn, now, number, place))
            continue
        lacks = [name for name in names if lacking.get(name, 0) > 0]
        cohort = max(lacks, key=lambda name: (lacking[name] / wanted[name], name))
        drawn.append(Drawn(pool.ids[rows[place]], cohort))
        for name in lacks:
            lacking[name] -= 1
        if place + 1 < len(rows):
            heapq.heappush(heap, (turns[place + 1], now, number, place + 1))
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
) -> list[tuple[list[str], Ints, Ints]]:
    """Return of each stratum its cohorts, its rows in order, and whose turn each is."""
    if not pool.ids:
        return []
    hashes = np.array([_hash(seed, "query", id_) for id_ in pool.ids], dtype=np.uint64)
    turns = _turns(hashes, clusters, seen)
    rows_of: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*pool.labels.values(), strict=True) if pool.labels
                                 else ((),) * len(pool.ids)):  # fmt: skip
        rows_of.setdefault(values, []).append(row)
    found = []
    for values in sorted(rows_of):
        rows = np.array(rows_of[values], dtype=np.int64)
        rows = rows[np.lexsort((hashes[rows], turns[rows]))]
        names = [named(field, value) for field, value in zip(pool.labels, values, strict=True)]
        found.append(([ALL, *names], rows, turns[rows]))
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


def _need(names: Iterator[str] | list[str], lacking: Mapping[str, int],
          wanted: Mapping[str, int]) -> float:  # fmt: skip
    return sum(lacking[name] / wanted[name] for name in names if lacking.get(name, 0) > 0)


def _hash(seed: int, *words: str) -> int:
    digest = hashlib.sha256("\0".join((f"nearfar plan {seed}", *words)).encode()).digest()
    return int.from_bytes(digest[:8], "big")
