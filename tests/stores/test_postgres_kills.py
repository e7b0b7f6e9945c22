"""Processes are killed, on either side, as they write: what was acknowledged is there, whole."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import postgres_child
import psycopg
import pytest
import torch
from postgres_child import DOCUMENTS, LAYOUT, PIECES

from nearfar.stores.contract import Store
from nearfar.stores.postgres import PostgresShelf
from nearfar.stores.postgres_connections import Connections

_DEADLINE = 120


Begin = Callable[..., BaseProcess]


@pytest.fixture
def begin(processes: BaseContext) -> Begin:
    """Give what starts a process, told what it shall do and with what."""

    def begun(target: Callable[..., None], *given: Any) -> BaseProcess:
        process = processes.Process(target=target, args=given, daemon=True)  # type: ignore[attr-defined]
        process.start()
        return process  # type: ignore[no-any-return]

    return begun


@pytest.fixture
def index(request: pytest.FixtureRequest) -> str:
    return "".join(sign for sign in request.node.name.lower() if sign.isalnum())[-40:]


@pytest.fixture
def store(postgres_server: str, index: str) -> Iterator[Store]:
    made = PostgresShelf(postgres_server, index).create("one", LAYOUT)
    yield made
    made.close()


class Writer:
    """A process that writes, and says what is kept."""

    def __init__(self, begin: Begin, url: str, index: str, first: int, writes: int) -> None:
        self.said, others = multiprocessing.Pipe()
        self.process = begin(postgres_child.write_on, url, index, first, writes, others)
        others.close()

    def heard(self, seconds: float = _DEADLINE) -> list[int | str]:
        """Return what it says until it ends or the time is over."""
        heard: list[int | str] = []
        while self.said.poll(seconds):
            try:
                heard.append(self.said.recv())
            except EOFError:
                break
        return heard


def hold_no_session(url: str, name: str) -> None:
    """Wait until the server has no session of that name."""
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.monotonic() + _DEADLINE
        asked = "select count(*) from pg_stat_activity where application_name = %s"
        while connection.execute(asked, [name]).fetchone() != (0,):
            assert time.monotonic() < until


def hold_writes(store: Store, url: str, index: str, last: int) -> None:
    """Assert that the store holds the writes from 0 to `last`, each whole, and nothing else."""
    expected = {
        f"{at:05}": min(last, at * 2 // DOCUMENTS) for at in range((last + 2) * DOCUMENTS // 2)
    }
    found = {one.id: one for one in store.scan()}
    assert {name: one.fields["round"] for name, one in found.items()} == expected
    assert {name: one.content for name, one in found.items()} == {
        name: f"words {number}" for name, number in expected.items()
    }
    assert store.digests(expected) == {name: str(number) for name, number in expected.items()}
    assert store.count() == len(expected)
    hits = store.nearest(torch.ones(1, 4) / 2, 9_999, exact=True)[0]
    assert {hit.id: hit.score for hit in hits} == {n: 2.0 * at for n, at in expected.items()}
    assert {hit.id for hit in store.worded([f"{last}"], 9_999)[0]} == {
        name for name, number in expected.items() if number == last
    }
    with psycopg.connect(url) as connection:  # and the counts beside them
        schema = f"nearfar_{index}"
        held = connection.execute(f"""
            select (select count(*) from "{schema}".pieces_1), pieces, words, documents,
                (select count(*) from "{schema}".words_1 known full join (
                    select word, count(*) from "{schema}".documents_1, unnest(words) word group by 1
                ) held using (word) where coalesce(known.documents, 0) <> coalesce(held.count, 0))
            from "{schema}".versions
            """).fetchone()  # type: ignore[arg-type]
    pieces = len(expected) * PIECES
    assert held == (pieces, pieces, 2 * len(expected), len(expected), 0)


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_a_writer_is_killed_and_what_it_was_told_is_kept_is_there(
    rounds: int, store: Store, postgres_server: str, index: str, begin: Begin
) -> None:
    dice = random.Random(0)
    store.upsert(postgres_child.written(0))
    last, torn = 0, 0
    for _ in range(rounds):
        named = f"{postgres_server}&application_name={index}"
        writer = Writer(begin, named, index, last + 1, 10_000)
        told = 0
        for _ in range(dice.randint(1, 4)):
            assert writer.said.poll(_DEADLINE)
            told = writer.said.recv()
        writer.said.poll(dice.random() * 0.01)  # somewhere within the next write
        writer.process.kill()
        writer.process.join(_DEADLINE)
        told = max([told, *writer.heard()])  # type: ignore[type-var]
        hold_no_session(postgres_server, index)  # the server ends what the dead had begun
        (newest,) = {
            one.fields["round"] for one in store.fetch([f"{told * DOCUMENTS // 2:05}"]).values()
        }
        assert newest in (told, told + 1)
        torn += newest == told
        last = int(newest)
        hold_writes(store, postgres_server, index, last)
    assert torn  # some were killed before they had written


@pytest.mark.parametrize("rounds", [pytest.param(n, marks=pytest.mark.slow) for n in (3, 100)])
def test_the_server_is_killed_in_the_midst_of_writes_and_nothing_is_lost(
    rounds: int, store: Store, postgres_server: str, index: str, begin: Begin
) -> None:
    dice = random.Random(1)
    store.upsert(postgres_child.written(0))
    writes, lost = 4 * rounds, []
    others = Connections(postgres_server, keep=True)
    asked = "select pid from pg_stat_activity where application_name = %s"
    others.read(lambda one: one.execute(asked, [index]))
    named = f"{postgres_server}&application_name={index}"
    writer = Writer(begin, named, index, 1, writes)
    for _ in range(rounds):
        while isinstance(said := writer.said.recv(), str):
            lost.append(said)
        rows = others.read(lambda one: one.execute(asked, [index]).fetchall())
        writer.said.poll(dice.random() * 0.01)
        for (pid,) in rows:
            os.kill(pid, signal.SIGKILL)  # PostgreSQL then ends every session, and repairs
        assert store.count() >= int(said) * DOCUMENTS // 2  # whoever reads, reads on
    others.close()
    heard = writer.heard()
    writer.process.join(_DEADLINE)
    assert [said for said in heard if isinstance(said, int)][-1] == writes
    lost += [said for said in heard if isinstance(said, str)]
    assert lost
    assert all("do it again" in said and "PostgreSQL at" in said for said in lost)
    hold_writes(store, postgres_server, index, writes)


def test_of_two_processes_that_switch_one_does_and_the_other_is_told(
    postgres_server: str, index: str, begin: Begin, processes: BaseContext
) -> None:
    shelf = PostgresShelf(postgres_server, index)
    for version in ("one", "two"):
        shelf.create(version, LAYOUT).close()
    gate = processes.Barrier(2)
    pipes = [multiprocessing.Pipe() for _ in range(2)]
    started = [
        begin(postgres_child.switch, postgres_server, index, version, gate, others)
        for version, (_, others) in zip(("one", "two"), pipes, strict=True)
    ]
    assert all(said.poll(_DEADLINE) for said, _ in pipes)
    heard = [said.recv() for said, _ in pipes]
    live = shelf.live()
    assert live in heard
    (refused,) = (said for said in heard if said != live)
    assert f"found {live!r}" in refused
    assert "no version" in refused
    for one in started:
        one.join(_DEADLINE)


def test_what_a_dead_reader_held_is_removed_by_the_next(
    store: Store, postgres_server: str, index: str, begin: Begin
) -> None:
    said, others = multiprocessing.Pipe()
    reader = begin(postgres_child.hold_open, postgres_server, index, others)
    assert said.poll(_DEADLINE)
    said.recv()
    store.close()
    shelf = PostgresShelf(postgres_server, index)
    shelf.drop("one")
    assert tables(postgres_server, index) == {"documents_1", "pieces_1", "words_1"}
    reader.kill()
    reader.join(_DEADLINE)
    for at in range(100):  # until the server has noticed
        shelf.create(f"v{at}", LAYOUT).close()
        if "documents_1" not in tables(postgres_server, index):
            break
        shelf.drop(f"v{at}")
    assert not {"documents_1", "pieces_1", "words_1"} & tables(postgres_server, index)


def tables(url: str, index: str) -> set[str]:
    """Return the tables of the versions of an index."""
    with psycopg.connect(url) as connection:
        asked = "select tablename from pg_tables where schemaname = %s"
        rows = connection.execute(asked, [f"nearfar_{index}"]).fetchall()
    return {str(name) for (name,) in rows} - {"versions", "live"}
