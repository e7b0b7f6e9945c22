"""The tables of one index in PostgreSQL: their names, how they are made, and conditions on them."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal, Placeholder

from nearfar.stores.contract import Kind, Layout
from nearfar.stores.filters import Sign, Where, checked
from nearfar.stores.postgres_texts import storable

MAX_DIM = 16_000  # numbers of a vector in pgvector
_PLAIN_DIM = 1_900  # beyond it a vector does not fit into a page of 8 kB beside its row
_COLUMNS: dict[Kind, LiteralString] = {
    "text": 'text collate "C"',  # ordered by characters, as in Python
    "integer": "bigint",
    "number": "double precision",
    "truth": "boolean",
}
_SIGNS: dict[Sign, LiteralString] = {
    "=": "{} in ({})", "!=": "{} not in ({})", "<": "{} < {}", "<=": "{} <= {}",
    ">": "{} > {}", ">=": "{} >= {}",
}  # fmt: skip

_SHELF: LiteralString = """
    create schema {schema};
    create table {versions} (
        number integer generated always as identity primary key,
        name text not null,
        layout json not null,
        facts json not null default '{{}}',
        word_rule integer not null,
        documents bigint not null default 0,
        pieces bigint not null default 0,
        words bigint not null default 0,
        next_key bigint not null default 0,
        dropped boolean not null default false);
    create unique index on {versions} (name) where not dropped;
    create table {live} (
        one boolean primary key default true check (one),
        number integer references {versions});
    insert into {live} default values"""

# Conditions stand on both tables: an index of vectors can only be narrowed by columns beside it.
_VERSION: LiteralString = """
    create table {documents} (
        key bigint primary key,
        id text collate "C" not null unique,
        content text not null,
        "group" text not null,
        source text not null,
        digest text not null,
        fields json not null,
        length integer not null,
        words bigint[] not null,
        counts integer[] not null{columns});
    create index on {documents} using gin (words);
    create table {pieces} (
        document bigint not null,
        piece integer not null,
        start integer not null,
        stop integer not null{columns},
        vector {type}({dim}) not null,
        primary key (document, piece));
    alter table {pieces} alter column vector set storage {storage};
    create table {words} (word bigint primary key, documents bigint not null)"""


@dataclass(frozen=True, slots=True)
class Schema:
    """The names of what an index has in the database."""

    index: str

    @property
    def name(self) -> str:
        """What the schema is called: apart from those of PostgreSQL and of other programs."""
        return f"nearfar_{self.index}"

    def sql(self, text: LiteralString, **parts: Composable) -> Composed:
        """Return a statement with the names of the schema and its own tables in their places."""
        own = {name: Identifier(self.name, name) for name in ("versions", "live")}
        return SQL(text).format(schema=Identifier(self.name), **{**own, **parts})

    def making(self) -> Composed:
        """Return what makes the schema."""
        return self.sql(_SHELF)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one version."""

    schema: Schema
    number: int  # of the version, never given twice
    layout: Layout

    @property
    def lock(self) -> str:
        """The text whose hash is locked by those who have the version open."""
        return f"{self.schema.name}.{self.number}"

    def sql(self, text: LiteralString, **parts: Composable) -> Composed:
        """Return a statement with the names of all tables, and the columns of the fields."""
        own = {name: self.table(name) for name in ("documents", "pieces", "words", "near")}
        own["version"] = Literal(self.number)
        own["fields"] = SQL("").join(SQL(", {}").format(one) for one in self._columns().values())
        return self.schema.sql(text, **{**own, **parts})

    def table(self, name: str) -> Composable:
        """Return the whole name of one."""
        return Identifier(self.schema.name, self.own_name(name))

    def own(self, name: str) -> Composable:
        """Return the name of one within the schema, quoted."""
        return Identifier(self.own_name(name))

    def own_name(self, name: str) -> str:
        """Return the name of one within the schema."""
        return f"{name}_{self.number}"

    def making(self) -> Composed:
        """Return what makes the tables."""
        kinds = [SQL(_COLUMNS[kind]) for kind in self.layout.fields.values()]
        named = zip(self._columns().values(), kinds, strict=True)
        plain = self.layout.dim <= _PLAIN_DIM
        return self.sql(
            _VERSION,
            columns=SQL("").join(SQL(", {} {}").format(*one) for one in named),
            type=Identifier("vector"),
            dim=Literal(self.layout.dim),
            # Beside the row it is read fastest; numbers like these cannot be made smaller.
            storage=SQL("plain") if plain else SQL("external"),
        )

    def dropping(self) -> Composed:
        """Return what removes the tables."""
        return self.sql("drop table if exists {documents}, {pieces}, {words}")

    def conditions(self, where: Where, first: LiteralString) -> tuple[Composed, dict[str, object]]:
        """Return what narrows a search, or nothing, and the values of its places.

        Args:
            where: conditions that all must hold.
            first: the word before them, `where` or `and`.

        Raises:
            BadSetting: a condition names no field of the layout, or a value of another kind.
        """
        columns, parts = self._columns(), []
        values: dict[str, object] = {}
        for one in checked(where, self.layout.fields):
            places = [f"value{len(values) + at}" for at in range(len(one.values))]
            values |= zip(places, map(_value, one.values), strict=True)
            parts.append(
                SQL(_SIGNS[one.sign]).format(
                    columns[one.field], SQL(", ").join(map(Placeholder, places))
                )
            )
        if not parts:
            return Composed([]), {}
        return SQL(" {} {}").format(SQL(first), SQL(" and ").join(parts)), values

    def _columns(self) -> dict[str, Composable]:
        """Return the columns of the fields, numbered: a field may have any name."""
        return {name: Identifier(f"f{at}") for at, name in enumerate(self.layout.fields)}


def _value(value: object) -> object:
    return storable(value) if isinstance(value, str) else value
