"""What can go wrong around a shelf in PostgreSQL, and what is said then."""

import traceback
from collections.abc import Iterator

import psycopg
import pytest
import torch
from shelves import LAYOUT, contents, entry

from nearfar.errors import BadFile, BadSetting, NearfarError, StoreFull
from nearfar.stores.contract import Layout, Store
from nearfar.stores.postgres import PostgresShelf
from nearfar.stores.postgres_tables import MAX_DIM

SECRET = "s3cret"


@pytest.fixture
def index(request: pytest.FixtureRequest) -> str:
    return "".join(sign for sign in request.node.name.lower() if sign.isalnum())[-40:]


@pytest.fixture
def shelf(postgres_server: str, index: str) -> PostgresShelf:
    return PostgresShelf(postgres_server, index)


@pytest.fixture
def store(shelf: PostgresShelf) -> Iterator[Store]:
    made = shelf.create("one", LAYOUT)
    yield made
    made.close()


def by_hand(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Do to the database what an administrator could; return what the last statement does."""
    rows: list[tuple[object, ...]] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for one in statements:
            cursor = connection.execute(one)  # type: ignore[arg-type]
            rows = cursor.fetchall() if cursor.description else []
    return rows


def tables(url: str, index: str) -> set[object]:
    """Return the tables of the versions of an index."""
    asked = f"select tablename from pg_tables where schemaname = 'nearfar_{index}'"
    return {name for (name,) in by_hand(url, asked)} - {"versions", "live"}


@pytest.mark.parametrize(
    ("url", "expected", "said"),
    [
        (f"postgresql://me:{SECRET} x@host/d", BadSetting, "postgresql://user:password@host"),
        (f"host=h password={SECRET} nonsense", BadSetting, "postgresql://user:password@host"),
        (
            f"postgresql://me:{SECRET}@127.0.0.1:1/d",
            BadFile,
            "PostgreSQL at 127.0.0.1:1, database d",
        ),
        (
            f"postgresql://me:{SECRET}@/d?host=/nowhere/{SECRET}",
            BadFile,
            "See that the server runs",
        ),
    ],
)
def test_a_wrong_address_is_said_without_its_password(
    url: str, expected: type[NearfarError], said: str
) -> None:
    with pytest.raises(expected, match=said) as refused:
        PostgresShelf(url, "index").versions()
    shown = "".join(traceback.format_exception(refused.value))
    assert SECRET not in shown.replace(f"/nowhere/{SECRET}", "")
    assert SECRET not in str(refused.value).replace(f"/nowhere/{SECRET}", "")


def test_a_database_that_is_not_there_is_named(postgres_server: str) -> None:
    url = postgres_server.replace("/postgres?", "/missing?")
    with pytest.raises(BadFile, match="missing"):
        PostgresShelf(url, "index").create("one", LAYOUT)


@pytest.mark.parametrize("name", ["", "A", "a b", "a" * 49, 'a"; drop', "ä", "a\n"])
def test_a_name_that_no_schema_may_have_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match="name of an index"):
        PostgresShelf("postgresql://host/d", name)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pgvector.psycopg", None)
    with pytest.raises(BadSetting, match=r"pip install 'nearfar\[postgres\]'"):
        PostgresShelf("postgresql://host/d", "index")


def test_who_may_not_make_the_extension_or_the_schema_is_told_what_to_ask_for(
    postgres_server: str, index: str
) -> None:
    by_hand(postgres_server, f"create database {index}", f"create role {index} login password 'x'")
    url = postgres_server.replace("/postgres?", f"/{index}?").replace("postgres:@", f"{index}:x@")
    with pytest.raises(BadSetting, match="CREATE EXTENSION vector"):
        PostgresShelf(url, index).create("one", LAYOUT)
    by_hand(postgres_server.replace("/postgres?", f"/{index}?"), "create extension vector")
    with pytest.raises(BadSetting, match="Ask for the right"):
        PostgresShelf(url, index).create("one", LAYOUT)
    assert PostgresShelf(url, index).versions() == []


def test_vectors_that_pgvector_does_not_take_are_refused(shelf: PostgresShelf) -> None:
    with pytest.raises(BadSetting, match="16,000"):
        shelf.create("one", Layout(dim=MAX_DIM + 1))
    assert shelf.versions() == []


def test_who_has_a_version_open_reads_it_until_it_closes(
    shelf: PostgresShelf, store: Store, postgres_server: str, index: str
) -> None:
    store.upsert([entry("a")])
    other = shelf.open("one")
    shelf.drop("one")
    assert shelf.versions() == []
    for reader in (store, other):
        assert contents(reader) == {"a": "text of a"}
        assert len(reader.nearest(torch.eye(4)[:1], 3)[0]) == 1
        with pytest.raises(BadFile, match="dropped"):
            reader.upsert([entry("b")])
    again = shelf.create("one", LAYOUT)  # the name is free at once
    assert (again.count(), other.count()) == (0, 1)
    other.close()
    assert store.count() == 1
    assert "documents_1" in tables(postgres_server, index)
    store.close()
    assert tables(postgres_server, index) == {"documents_2", "pieces_2", "words_2"}
    again.close()


def test_a_connection_that_was_lost_is_opened_again(
    store: Store, postgres_server: str, index: str
) -> None:
    store.upsert([entry("a")])
    end = (
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = 'postgres' "
        "and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )
    for use in (
        lambda: store.count() == 1,
        lambda: contents(store) == {"a": "text of a"},
        lambda: store.upsert([entry("a")]) is None,
        lambda: store.nearest(torch.eye(4)[:1], 1)[0][0].id == "a",
        lambda: store.delete(["b"]) == 0,
    ):
        by_hand(postgres_server, end)
        assert use()


def test_a_write_that_loses_its_connection_is_told_and_kept_whole_or_not_at_all(
    store: Store, postgres_server: str, index: str
) -> None:
    store.upsert([entry("a")])
    schema = f"nearfar_{index}"
    by_hand(
        postgres_server,
        f"create function {schema}.stop() returns trigger language plpgsql as "
        "$$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$",
        f"create trigger stop before insert on {schema}.pieces_1 for each row "
        f"execute function {schema}.stop()",
    )
    with pytest.raises(BadFile, match=r"lost .* do it again"):
        store.upsert([entry("a", content="other"), entry("b")])
    assert contents(store) == {"a": "text of a"}
    by_hand(postgres_server, f"drop trigger stop on {schema}.pieces_1")
    store.upsert([entry("a", content="other"), entry("b")])
    assert contents(store) == {"a": "other", "b": "text of b"}


def test_a_full_disk_is_told_and_nothing_is_kept_nor_lost(
    store: Store, postgres_server: str, index: str
) -> None:
    store.upsert([entry("a")])
    schema = f"nearfar_{index}"
    by_hand(  # what the server says itself when a file cannot grow
        postgres_server,
        f"create function {schema}.full() returns trigger language plpgsql as "
        "$$ begin raise disk_full using message = 'could not extend file'; end $$",
        f"create trigger full_ before insert on {schema}.pieces_1 for each row "
        f"execute function {schema}.full()",
    )
    with pytest.raises(StoreFull, match=r"could not extend file.*Make room"):
        store.upsert([entry("a", content="other"), entry("b")])
    assert contents(store) == {"a": "text of a"}
    assert store.worded(["other"], 3) == [[]]
    by_hand(postgres_server, f"drop trigger full_ on {schema}.pieces_1")
    store.upsert([entry("b")])
    assert store.count() == 2


def test_words_by_another_rule_are_refused(
    shelf: PostgresShelf, store: Store, postgres_server: str, index: str
) -> None:
    by_hand(postgres_server, f"update nearfar_{index}.versions set word_rule = 1")
    with pytest.raises(BadFile, match="found version 1"):
        shelf.open("one")


def test_tables_that_someone_removed_are_a_damaged_version(
    shelf: PostgresShelf, store: Store, postgres_server: str, index: str
) -> None:
    by_hand(postgres_server, f"drop table nearfar_{index}.pieces_1")
    with pytest.raises(BadFile, match="damaged"):
        store.nearest(torch.eye(4)[:1], 1)
    by_hand(postgres_server, f"drop table nearfar_{index}.documents_1")
    with pytest.raises(BadFile, match="not there any more"):
        shelf.open("one")
