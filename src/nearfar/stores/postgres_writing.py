"""Puts documents into the tables of one version, and takes them out: each call one transaction."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nearfar.data.words import words_of
from nearfar.errors import BadFile, BadRecord
from nearfar.stores.contract import Entry, Kind
from nearfar.stores.postgres_connections import Connection
from nearfar.stores.postgres_tables import Tables
from nearfar.stores.postgres_texts import fields_json, storable, word_number

_ID_BYTES = 2_000  # an entry of an index in PostgreSQL has at most 2,700
_TYPES: dict[Kind, str] = {
    "text": "text", "integer": "int8", "number": "float8", "truth": "bool",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Row:
    """A document on its way into the tables."""

    key: int  # its number in them
    entry: Entry
    words: Counter[int]  # how often each stands in it


def lock_version(connection: Connection, tables: Tables) -> int:
    """Let nobody else write to the version until this transaction ends; return the next free key.

    Writers that go one after the other never wait for each other in a circle, and counts are kept
    beside the documents without a second look.

    Raises:
        BadFile: the version was dropped.
    """
    asked = "select next_key from {versions} where number = {version} and not dropped for update"
    row = connection.execute(tables.sql(asked)).fetchone()
    if row is None:
        raise BadFile(
            f"The version {tables.number} of index {tables.schema.index!r} was dropped while it "
            "was open: it can be read until it is closed, and not written to. Open another."
        )
    return int(row[0])


def put(connection: Connection, tables: Tables, entries: Sequence[Entry]) -> None:
    """Put entries in, each in place of the document with its id.

    Args:
        connection: within a transaction.
        tables: of the version.
        entries: admitted, each id once.

    Raises:
        BadRecord: an id is too long for the index of ids.
    """
    for entry in entries:
        _require_short(entry.document.id)
    first = lock_version(connection, tables)
    take_out(connection, tables, [entry.document.id for entry in entries])
    rows = [_Row(first + at, entry, _counted(entry, tables)) for at, entry in enumerate(entries)]
    _copy_documents(connection, tables, rows)
    _copy_pieces(connection, tables, rows)
    _count_words(connection, tables, rows)
    connection.execute(
        tables.sql(
            "update {versions} set documents = documents + %s, pieces = pieces + %s, "
            "words = words + %s, next_key = %s where number = {version}"
        ),
        [
            len(rows),
            sum(len(row.entry.pieces) for row in rows),
            sum(row.words.total() for row in rows),
            first + len(rows),
        ],
    )


def take_out(connection: Connection, tables: Tables, ids: Iterable[str]) -> int:
    """Take documents out of the version that is locked; return how many were there."""
    row = connection.execute(
        tables.sql("""
            with gone as (
                delete from {documents} where id = any(%s::text[]) returning key, words, length),
            pieces as (
                delete from {pieces} using gone where document = gone.key returning 1),
            fewer as (
                select word, count(*) as documents from gone, unnest(gone.words) as word
                group by word),
            known as (
                update {words} as all_words set documents = all_words.documents - fewer.documents
                from fewer where all_words.word = fewer.word)
            update {versions} set
                documents = documents - (select count(*) from gone),
                pieces = pieces - (select count(*) from pieces),
                words = words - (select coalesce(sum(length), 0) from gone)
            where number = {version} returning (select count(*) from gone)
            """),
        [[storable(one) for one in ids]],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _require_short(id_: str) -> None:
    size = len(storable(id_).encode())
    if size > _ID_BYTES:
        raise BadRecord(
            f"The id of document {id_[:40]!a}... has {size:,} bytes, and PostgreSQL finds ids of "
            f"at most {_ID_BYTES:,}. Give it a shorter one."
        )


def _counted(entry: Entry, tables: Tables) -> Counter[int]:
    if not tables.layout.words:
        return Counter()
    return Counter(map(word_number, words_of(entry.document.content)))


def _copy_documents(connection: Connection, tables: Tables, rows: Sequence[_Row]) -> None:
    into = tables.sql(
        'copy {documents} (key, id, content, "group", source, digest, fields, length, words, '
        "counts{fields}) from stdin"
    )
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            one = row.entry.document
            texts = (one.id, one.content, one.group, one.source, row.entry.digest)
            copy.write_row((
                row.key, *map(storable, texts), fields_json(one.fields), row.words.total(),
                list(row.words), list(row.words.values()), *_columns(row.entry, tables),
            ))  # fmt: skip


def _copy_pieces(connection: Connection, tables: Tables, rows: Sequence[_Row]) -> None:
    into = tables.sql(
        "copy {pieces} (document, piece, start, stop{fields}, vector) from stdin (format binary)"
    )
    kinds = [_TYPES[kind] for kind in tables.layout.fields.values()]
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        copy.set_types(["int8", "int4", "int4", "int4", *kinds, "vector"])
        for row in rows:
            vectors = row.entry.vectors.detach().cpu().float().numpy()
            columns = _columns(row.entry, tables)
            for piece, (start, stop) in enumerate(row.entry.pieces):
                copy.write_row((row.key, piece, start, stop, *columns, vectors[piece]))


def _count_words(connection: Connection, tables: Tables, rows: Sequence[_Row]) -> None:
    documents = Counter(word for row in rows for word in row.words)
    connection.execute(
        tables.sql("""
            insert into {words} as known select * from unnest(%s::bigint[], %s::bigint[])
            on conflict (word) do update set documents = known.documents + excluded.documents
            """),
        [list(documents), list(documents.values())],
    )


def _columns(entry: Entry, tables: Tables) -> list[object]:
    """Return the values of the columns that searches are narrowed by; None where there is none."""
    found: list[object] = []
    for name, kind in tables.layout.fields.items():
        value = entry.document.fields.get(name)
        if isinstance(value, str):
            value = storable(value)
        found.append(float(value) if kind == "number" and value is not None else value)
    return found
