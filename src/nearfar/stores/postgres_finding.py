"""Finds documents in the tables of one version by their vectors, with pgvector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
from psycopg.sql import SQL, Composed, Literal

from nearfar.stores.contract import Found
from nearfar.stores.filters import Where
from nearfar.stores.postgres_connections import Connection, one_moment
from nearfar.stores.postgres_tables import Tables
from nearfar.stores.postgres_texts import restored

Floats = npt.NDArray[np.float32]

WHOLE_DIM = 2_000  # numbers of a vector that pgvector's HNSW takes as they are ...
HALF_DIM = 4_000  # ... and rounded to 16 bits

_WIDER = 8  # how many times as many pieces are asked for where many were of one document
_MOST_WALKED = 1_000  # candidates that HNSW can keep in view
_LEAST_WALKED = 100
_STEPS = 20_000  # pieces that a walk looks at before it gives up

# Vectors have length 1: the inner product is the cosine, for less work, and orders also
# what has no direction. Equals at the last place all come, and the order of ids decides.
_NEAREST: LiteralString = """
    with near as materialized (
        select document, piece, vector <#> %(query)s as far from {pieces}{where}
        order by {order} fetch first (%(rows)s) rows with ties)
    select id, min(far), (array_agg(piece order by far, piece))[1], (select count(*) from near)
    from near join {documents} on key = document
    group by id order by min(far), id limit %(k)s"""
_WALK: LiteralString = """
    select set_config('hnsw.iterative_scan', 'strict_order', true),
        set_config('hnsw.ef_search', %s, true), set_config('hnsw.max_scan_tuples', %s, true)"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every query alike."""

    k: int
    where: Where
    exact: bool


def nearest(
    connection: Connection, tables: Tables, queries: Floats, asked: Asked
) -> list[list[Found]]:
    """Return of each query the k documents with the best piece, best first.

    A walk through HNSW gives up after so many pieces that do not match, or stand aside from the
    others: what it leaves open is looked up exactly.

    Raises:
        BadSetting: a condition names no field of the layout, or a value of another kind.
    """
    k = first = asked.k
    with one_moment(connection):
        ways, values = ways_to(tables, asked.where)
        if asked.exact or not _walks(connection, tables):
            del ways[0]
        else:
            first = k if tables.layout.dim <= WHOLE_DIM else 2 * k + 10  # the walk's are rounded
            view = min(_MOST_WALKED, max(_LEAST_WALKED, 4 * k))
            connection.execute(_WALK, [str(view), str(max(_STEPS, 40 * k))])
        return [
            _best(connection, ways, {**values, "query": query, "k": k, "rows": first})
            for query in queries
        ]


def ways_to(tables: Tables, where: Where) -> tuple[list[Composed], dict[str, object]]:
    """Return two ways to find what is nearest, one that may use HNSW and one that cannot; values.

    Raises:
        BadSetting: a condition names no field of the layout, or a value of another kind.
    """
    narrowed, values = tables.conditions(where, "where")
    plain: LiteralString = "vector <#> %(query)s"
    half: LiteralString = "vector::halfvec({0}) <#> %(query)s::halfvec({0})"
    walk = plain if tables.layout.dim <= WHOLE_DIM else half
    every = "(vector <#> %(query)s) + 0"  # no index has this order
    orders = [SQL(order).format(Literal(tables.layout.dim)) for order in (walk, every)]
    return [tables.sql(_NEAREST, where=narrowed, order=order) for order in orders], values


def index_is_whole(connection: Connection, tables: Tables) -> bool | None:
    """Return whether HNSW can be walked; None: there is no index, nor the ruin of one."""
    row = connection.execute(
        "select indisvalid from pg_index join pg_class c on c.oid = indexrelid "
        "join pg_namespace n on n.oid = relnamespace where nspname = %s and relname = %s",
        [tables.schema.name, tables.own_name("near")],
    ).fetchone()
    return None if row is None else bool(row[0])


def _walks(connection: Connection, tables: Tables) -> bool:
    """Return whether to try HNSW: without it, only orders of whole vectors are exact all the same.

    So most searches need not ask whether it is there; PostgreSQL knows.
    """
    return tables.layout.dim <= WHOLE_DIM or bool(index_is_whole(connection, tables))


def _best(connection: Connection, ways: Sequence[Composed], asked: dict[str, Any]) -> list[Found]:
    """Return the k best of one query, or all there are."""
    found: list[tuple[Any, ...]] = []
    for way in ways:
        rows = asked["rows"]
        while True:
            found = connection.execute(way, {**asked, "rows": rows}).fetchall()
            if len(found) >= asked["k"]:
                return [Found(restored(id_), -far, piece) for id_, far, piece, _ in found]
            if not found or found[0][3] < rows:
                break  # these are all: the next way may know of more
            rows *= _WIDER
    return [Found(restored(id_), -far, piece) for id_, far, piece, _ in found]
