"""Keeps the tables of one version fast: an index of the vectors, statistics, no dead rows."""

from psycopg.sql import SQL, Composed, Literal

from nearfar.progress import Progress
from nearfar.stores.postgres_connections import Connection
from nearfar.stores.postgres_finding import HALF_DIM, WHOLE_DIM, index_is_whole
from nearfar.stores.postgres_tables import Tables

_BESIDE_BYTES = 400  # what HNSW keeps of a vector apart from its numbers: links at 16 a layer
_LEAST_KB, _MOST_KB = 64 * 1024, 2 * 1024 * 1024  # memory to build in; beyond it goes through disk
_LINKS, _VIEW = 16, 128  # of a vector, and candidates for them; a guess


def optimise(connection: Connection, tables: Tables, indexed_from: int, progress: Progress) -> None:
    """Build the index of the vectors if there are enough, and tidy up; writers go on meanwhile.

    If another process is at it, it is left to that one.
    """
    mine = "select pg_try_advisory_lock(hashtextextended(%s, 1))"
    row = connection.execute(mine, [tables.lock]).fetchone()
    if row is None or not row[0]:
        return
    try:
        connection.execute("set lock_timeout = 0")  # building waits for whoever reads
        _index(connection, tables, indexed_from, progress)
        for done, name in enumerate(("documents", "pieces", "words"), start=1):
            connection.execute(SQL("vacuum (analyze) {}").format(tables.table(name)))
            progress("tidy tables", done, 3)
    finally:
        if not connection.closed:
            connection.execute("reset maintenance_work_mem")
            connection.execute("set lock_timeout = '60s'")
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 1))", [tables.lock])


def pending(connection: Connection, tables: Tables) -> int:
    """Return how many vectors no index holds: all, or none."""
    if index_is_whole(connection, tables):
        return 0
    row = connection.execute(
        tables.sql("select pieces from {versions} where number = {version}")
    ).fetchone()
    return 0 if row is None else int(row[0])


def _index(connection: Connection, tables: Tables, indexed_from: int, progress: Progress) -> None:
    vectors = pending(connection, tables)
    if vectors < max(indexed_from, 1) or tables.layout.dim > HALF_DIM:
        return
    progress("index vectors", 0, vectors)
    if index_is_whole(connection, tables) is not None:  # its building was broken off
        connection.execute(tables.sql("drop index {near}"))
    need = vectors * (4 * tables.layout.dim + _BESIDE_BYTES) // 1024
    memory = max(_LEAST_KB, min(_MOST_KB, need))
    connection.execute(SQL("set maintenance_work_mem = {}").format(Literal(f"{memory}kB")))
    connection.execute(_building(tables))
    progress("index vectors", vectors, vectors)


def _building(tables: Tables) -> Composed:
    half = SQL("(vector::halfvec({})) halfvec_ip_ops").format(Literal(tables.layout.dim))
    return tables.sql(
        "create index concurrently {own} on {pieces} using hnsw ({what}) "
        "with (m = {links}, ef_construction = {view})",
        own=tables.own("near"),
        what=SQL("vector vector_ip_ops") if tables.layout.dim <= WHOLE_DIM else half,
        links=Literal(_LINKS),
        view=Literal(_VIEW),
    )
