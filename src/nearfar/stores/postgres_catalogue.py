"""Which versions an index has in PostgreSQL, which is live, and which wait to be removed."""

import json

from psycopg import errors

from nearfar.data.words import VERSION
from nearfar.errors import BadFile, BadSetting, said
from nearfar.stores.contract import Layout
from nearfar.stores.postgres_connections import Connection, Connections
from nearfar.stores.postgres_tables import MAX_DIM, Schema, Tables
from nearfar.stores.postgres_texts import storable

_PGVECTOR = (0, 8)  # goes on with a search that was narrowed until there is enough


def require_pgvector(connection: Connection, name: str) -> str:
    """Return the schema that pgvector is in, once it is certain that it is there, and new enough.

    Raises:
        BadSetting: it is not installed, may not be, or is too old.
    """
    asked = (
        "select nspname, extversion from pg_extension join pg_namespace n on n.oid = extnamespace "
        "where extname = 'vector'"
    )
    advice = (
        f"Ask who runs the server for pgvector {_PGVECTOR[0]}.{_PGVECTOR[1]} or newer, and for "
        "`CREATE EXTENSION vector` (or `ALTER EXTENSION vector UPDATE`) in this database."
    )
    found = connection.execute(asked).fetchone()
    if found is None:
        try:
            connection.execute("create extension vector")
        except (
            errors.InsufficientPrivilege,
            errors.FeatureNotSupported,
            errors.UndefinedFile,
        ) as e:
            raise BadSetting(f"{name}: pgvector is not there ({said(e)}). {advice}") from e
        found = connection.execute(asked).fetchone()
    assert found is not None
    schema, version = found
    if tuple(int(part) for part in version.split(".")[:2]) < _PGVECTOR:
        raise BadSetting(f"{name}: pgvector is there as {version}. {advice}")
    return str(schema)


class Catalogue:
    """The tables `versions` and `live` of one index."""

    def __init__(self, url: str, index: str) -> None:
        """Connect to nothing yet.

        Raises:
            BadSetting: the address cannot be read.
        """
        self._connections = Connections(url, keep=False)
        self._schema = Schema(index)
        self.name = f"{self._connections.name}, index {index!r}"

    def names(self) -> list[str]:
        """Return the names of all versions, the oldest first."""

        def read(connection: Connection) -> list[str]:
            asked = "select name from {versions} where not dropped order by number"
            return [name for (name,) in connection.execute(self._schema.sql(asked)).fetchall()]

        return self._connections.read(lambda one: read(one) if self._is_there(one) else [])

    def live(self) -> str | None:
        """Return the live version."""

        def read(connection: Connection) -> str | None:
            asked = self._schema.sql("select name from {live} join {versions} using (number)")
            row = connection.execute(asked).fetchone()
            return None if row is None else str(row[0])

        return self._connections.read(lambda one: read(one) if self._is_there(one) else None)

    def switch(self, version: str, expected: str | None) -> None:
        """Make a version live if `expected` is.

        Raises:
            BadSetting: there is no such version, or another one is live by now.
        """

        def change(connection: Connection) -> None:
            with connection.transaction():
                live = self._lock_live(connection)
                number = self._require(connection, version)
                if live != expected:
                    raise BadSetting(
                        f"{self.name}: expected {_called(expected)} to be live, found "
                        f"{_called(live)}: someone else has switched. Look which one should be "
                        "live, and switch again."
                    )
                connection.execute(self._schema.sql("update {live} set number = %s"), [number])

        self._connections.write(change)

    def add(self, version: str, layout: Layout) -> None:
        """Make the tables of an empty version.

        Raises:
            BadSetting: the name is taken, pgvector is missing, or takes no vectors of that length.
        """
        if not 1 <= layout.dim <= MAX_DIM:
            raise BadSetting(
                f"{self.name}: vectors of {layout.dim:,} numbers; pgvector takes 1 to {MAX_DIM:,}. "
                "Cut them, if the model was trained for it, or keep them in another store."
            )

        def change(connection: Connection) -> None:
            with connection.transaction():
                self._found(connection)
                taken = "select from {versions} where name = %s and not dropped"
                if connection.execute(self._schema.sql(taken), [version]).fetchone() is not None:
                    raise BadSetting(
                        f"{self.name}: there is a version {version!r} already. Choose another "
                        "name, or drop it first."
                    )
                row = connection.execute(
                    self._schema.sql(
                        "insert into {versions} (name, layout, word_rule) values (%s, %s, %s) "
                        "returning number"
                    ),
                    [version, _layout_json(layout), VERSION],
                ).fetchone()
                assert row is not None
                connection.execute(Tables(self._schema, row[0], layout).making())

        self._connections.write(self._sweep_if_there)
        self._connections.write(change)

    def find(self, version: str) -> Tables:
        """Return the tables of a version.

        Raises:
            BadFile: there is none of that name, or its words are by another rule.
        """

        def read(connection: Connection) -> Tables:
            asked = (
                "select number, layout, word_rule from {versions} where name = %s and not dropped"
            )
            row = None
            if self._is_there(connection):
                row = connection.execute(self._schema.sql(asked), [storable(version)]).fetchone()
            if row is None:
                raise BadFile(
                    f"{self.name}: expected a version {version!r}, found "
                    f"{', '.join(self.names()) or 'none'}. Name another, or build it."
                )
            layout = Layout(**row[1])
            if layout.words and row[2] != VERSION:
                raise BadFile(
                    f"{self.name}, version {version!r}: expected words by version {VERSION} of the "
                    f"rule that divides texts into words, found version {row[2]}: a query would be "
                    "divided otherwise than the documents were. Build a new version."
                )
            return Tables(self._schema, row[0], layout)

        return self._connections.read(read)

    def drop(self, version: str) -> None:
        """Take a version out of the list; its tables go with the last who has it open.

        Raises:
            BadSetting: it is live, or there is none of that name.
        """

        def change(connection: Connection) -> None:
            with connection.transaction():
                live = self._lock_live(connection)
                number = self._require(connection, version)
                if live == version:
                    raise BadSetting(
                        f"{self.name}: version {version!r} is live, and searches go to it. Switch "
                        "to another before you drop it."
                    )
                drop = self._schema.sql("update {versions} set dropped = true where number = %s")
                connection.execute(drop, [number])

        self._connections.write(change)
        self._connections.write(self._sweep_if_there)

    def _lock_live(self, connection: Connection) -> str | None:
        """Let nobody else switch or drop until this transaction ends; return the live version."""
        if not self._is_there(connection):
            return None
        connection.execute(self._schema.sql("select from {live} for update"))
        asked = self._schema.sql("select name from {live} join {versions} using (number)")
        row = connection.execute(asked).fetchone()
        return None if row is None else str(row[0])

    def _require(self, connection: Connection, version: str) -> int:
        asked = "select number from {versions} where name = %s and not dropped"
        if self._is_there(connection):
            row = connection.execute(self._schema.sql(asked), [storable(version)]).fetchone()
            if row is not None:
                return int(row[0])
        raise BadSetting(
            f"{self.name}: expected a version {version!r}, found "
            f"{', '.join(self.names()) or 'none'}. Name one of them."
        )

    def _is_there(self, connection: Connection) -> bool:
        row = connection.execute(
            "select from pg_tables where schemaname = %s and tablename = 'live'",
            [self._schema.name],
        ).fetchone()
        return row is not None

    def _found(self, connection: Connection) -> None:
        """Make the schema where there is none; of several at once one makes it."""
        connection.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [self._schema.name]
        )
        if not self._is_there(connection):
            require_pgvector(connection, self.name)
            connection.execute(self._schema.making())

    def _sweep_if_there(self, connection: Connection) -> None:
        if self._is_there(connection):
            sweep(connection, self._schema)


def sweep(connection: Connection, schema: Schema) -> None:
    """Remove the tables of versions that were dropped, and that nobody has open any more."""
    asked = "select number, layout from {versions} where dropped"
    for number, layout in connection.execute(schema.sql(asked)).fetchall():
        tables = Tables(schema, number, Layout(**layout))
        with connection.transaction():
            free = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
            row = connection.execute(free, [tables.lock]).fetchone()
            if row is not None and row[0]:
                connection.execute(tables.dropping())
                connection.execute(tables.sql("delete from {versions} where number = {version}"))


def _layout_json(layout: Layout) -> str:
    return json.dumps({"dim": layout.dim, "fields": dict(layout.fields), "words": layout.words})


def _called(version: str | None) -> str:
    return "no version" if version is None else repr(version)
