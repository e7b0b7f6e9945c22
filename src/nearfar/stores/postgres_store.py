"""One version of an index in PostgreSQL, with pgvector for its vectors."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, LiteralString

from jaxtyping import Float
from pgvector.psycopg import register_vector
from psycopg.sql import SQL, Composed, Identifier
from torch import Tensor

from nearfar.errors import BadFile, NearfarError
from nearfar.progress import Progress
from nearfar.records import Document
from nearfar.stores.admitting import admitted, require_words
from nearfar.stores.contract import Entry, Found, Layout
from nearfar.stores.filters import Where
from nearfar.stores.postgres_catalogue import require_pgvector, sweep
from nearfar.stores.postgres_connections import Connection, Connections
from nearfar.stores.postgres_finding import Asked, nearest
from nearfar.stores.postgres_tables import Tables
from nearfar.stores.postgres_texts import fields_of, restored, storable
from nearfar.stores.postgres_upkeep import optimise, pending
from nearfar.stores.postgres_words import worded
from nearfar.stores.postgres_writing import lock_version, put, take_out

_PER_PAGE = 256  # documents read at once: memory holds so many texts
_IDS_PER_PAGE = 10_000
_DOCUMENT: LiteralString = 'select id, content, "group", source, fields from {documents} '


class PostgresStore:
    """The documents, vectors and words of one version, in tables of their own."""

    def __init__(self, url: str, tables: Tables, indexed_from: int) -> None:
        """Connect, and let nobody remove the tables before `close`.

        Args:
            url: address of the server.
            tables: of the version.
            indexed_from: how many vectors get an approximate index; fewer are looked at each.

        Raises:
            BadFile: the version was removed meanwhile, or the server cannot be reached.
            BadSetting: pgvector is missing or too old.
        """
        self._url, self._tables, self._indexed_from = url, tables, indexed_from
        self._connections = Connections(url, keep=True, prepare=partial(_prepare, tables))
        self._connections.read(lambda connection: None)  # holds the lock from now on

    @property
    def layout(self) -> Layout:
        """What was settled when it was made."""
        return self._tables.layout

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was last said of it with `tell`; JSON."""
        facts: dict[str, Any] = self._one("facts")
        return facts

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Keep these facts in place of the earlier ones."""
        text = json.dumps(facts, allow_nan=False)

        def change(connection: Connection) -> None:
            with connection.transaction():
                lock_version(connection, self._tables)
                told = "update {versions} set facts = %s where number = {version}"
                connection.execute(self._tables.sql(told), [text])

        self._connections.write(change)

    def count(self) -> int:
        """Return how many documents it holds."""
        return int(self._one("documents"))

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Put documents in, each in place of the one with its id; of one id the last counts.

        Raises:
            BadRecord: a document is not fit to be kept. Nothing of the call is.
            StoreFull: the server has no more room. Nothing of the call is kept.
            BadFile: the server was lost; whether the call was kept is then not known.
        """
        fit = list(admitted(entries, self.layout).values())

        def change(connection: Connection) -> None:
            with connection.transaction():
                put(connection, self._tables, fit)

        if fit:
            self._connections.write(change)

    def delete(self, ids: Iterable[str]) -> int:
        """Take documents out; return how many were there."""
        gone = list(dict.fromkeys(ids))

        def change(connection: Connection) -> int:
            with connection.transaction():
                lock_version(connection, self._tables)
                return take_out(connection, self._tables, gone)

        return self._connections.write(change) if gone else 0

    def fetch(self, ids: Iterable[str]) -> dict[str, Document]:
        """Return the documents of these ids that are there."""
        rows = self._of(ids, _DOCUMENT)
        return {one.id: one for one in map(_document, rows)}

    def digests(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the digests of these ids that are there."""
        rows = self._of(ids, "select id, digest from {documents} ")
        return {restored(id_): restored(digest) for id_, digest in rows}

    def scan(self, after: str = "") -> Iterator[Document]:
        """Yield all documents with an id above `after`, in the order of their ids."""
        asked = self._tables.sql(_DOCUMENT + "where id > %s order by id limit %s")
        while True:
            page = self._rows(asked, [storable(after), _PER_PAGE])
            yield from map(_document, page)
            if len(page) < _PER_PAGE:
                return
            after = restored(page[-1][0])

    def nearest(
        self,
        vectors: Float[Tensor, "Q D"],
        k: int,
        *,
        where: Where = (),
        exact: bool = False,
    ) -> list[list[Found]]:
        """Return of each query the k documents with the highest cosine, best first.

        Args:
            vectors: of length 1.
            k: at most so many, 1 or more.
            where: conditions that all must hold.
            exact: whether every vector is looked at; else HNSW answers, where `optimise` built it.

        Raises:
            BadSetting: a condition names no field of the layout, or a value of another kind.
            BadFile: the server cannot be reached.
        """
        queries, asked = vectors.detach().cpu().float().numpy(), Asked(k, where, exact)
        return self._connections.read(
            lambda connection: nearest(connection, self._tables, queries, asked)
        )

    def worded(self, queries: Sequence[str], k: int, *, where: Where = ()) -> list[list[Found]]:
        """Return of each query the k documents with the highest BM25, best first.

        Raises:
            BadSetting: as `nearest`; or the layout has no words.
            BadFile: the server cannot be reached.
        """
        require_words(self.layout)
        return self._connections.read(
            lambda connection: worded(connection, self._tables, queries, k, where)
        )

    def optimise(self, progress: Progress) -> None:
        """Build the approximate index once there are enough vectors; tidy up the tables."""
        self._connections.write(
            lambda connection: optimise(connection, self._tables, self._indexed_from, progress)
        )

    def pending(self) -> int:
        """Return how many vectors an approximate search has to look at one by one."""
        return self._connections.read(lambda connection: pending(connection, self._tables))

    def close(self) -> None:
        """Let go of the connections; a version that was dropped goes with the last that reads."""
        self._connections.close()
        others = Connections(self._url, keep=False)
        with suppress(NearfarError):  # the next who makes or drops a version tidies up as well
            others.read(lambda connection: sweep(connection, self._tables.schema))

    def _one(self, column: LiteralString) -> Any:
        asked = self._tables.sql(
            "select {column} from {versions} where number = {version}", column=Identifier(column)
        )
        (row,) = self._rows(asked, [])
        return row[0]

    def _of(self, ids: Iterable[str], what: LiteralString) -> Iterator[tuple[Any, ...]]:
        asked = self._tables.sql(what + "where id = any(%s::text[])")
        wanted = [storable(one) for one in ids]
        for start in range(0, len(wanted), _IDS_PER_PAGE):
            yield from self._rows(asked, [wanted[start : start + _IDS_PER_PAGE]])

    def _rows(self, asked: Composed, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._connections.read(
            lambda connection: connection.execute(asked, values).fetchall()
        )


def _prepare(tables: Tables, connection: Connection) -> None:
    """Make a new connection fit for a version, and hold its tables."""
    name = f"Index {tables.schema.index!r}"
    home = require_pgvector(connection, name)
    connection.execute(SQL("set search_path = {}").format(Identifier(home)))
    register_vector(connection)
    connection.execute("select pg_advisory_lock_shared(hashtextextended(%s, 0))", [tables.lock])
    there = "select from pg_tables where schemaname = %s and tablename = %s"
    row = [tables.schema.name, tables.own_name("documents")]
    if connection.execute(there, row).fetchone() is None:
        raise BadFile(f"{name}: the version that was opened is not there any more. Open another.")


def _document(row: Sequence[Any]) -> Document:
    id_, content, group, source = map(restored, row[:4])
    return Document(id=id_, content=content, group=group, source=source, fields=fields_of(row[4]))
