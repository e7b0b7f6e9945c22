"""The versions of an index in PostgreSQL: a server that many processes read and write."""

import re
from importlib import import_module
from typing import TYPE_CHECKING

from nearfar.errors import BadSetting
from nearfar.stores.admitting import require_name
from nearfar.stores.contract import Layout, Store

if TYPE_CHECKING:
    from nearfar.stores.postgres_catalogue import Catalogue

INDEXED_FROM = 10_000  # vectors: below, each is looked at
_NAME = re.compile(r"[a-z0-9_-]{1,48}")


class PostgresShelf:
    """The versions of one index, in a schema `nearfar_<index>` of a database.

    Every version has tables of its own, which people may read: documents_<n> (id, content, group,
    source, fields as JSON), pieces_<n> (start, stop, vector), words_<n>; `versions` says which.
    """

    def __init__(self, url: str, index: str, *, indexed_from: int = INDEXED_FROM) -> None:
        """Connect to nothing yet.

        Args:
            url: postgresql://user:password@host:port/database, or what else libpq takes.
            index: its name; a to z, 0 to 9, "-" and "_", at most 48.
            indexed_from: how many vectors a version must have for `optimise` to build the index of
                an approximate search (HNSW).

        Raises:
            BadSetting: psycopg or pgvector is not installed, the name is none that a schema may
                have, or the address cannot be read.
        """
        if not _NAME.fullmatch(index):
            raise BadSetting(
                f"{index!r} is no name of an index: expected 1 to 48 characters, each a to z, "
                "0 to 9, '-' or '_'. Choose another name."
            )
        self._url, self._indexed_from = url, indexed_from
        self._catalogue = _catalogue(url, index)

    def versions(self) -> list[str]:
        """Return the names of all versions, the oldest first."""
        return self._catalogue.names()

    def live(self) -> str | None:
        """Return the version that searches go to; None: none was chosen yet."""
        return self._catalogue.live()

    def switch(self, version: str, expected: str | None) -> None:
        """Make a version live, at once and for all, if `expected` is live now.

        Raises:
            BadSetting: there is no such version, or another one is live by now.
        """
        self._catalogue.switch(version, expected)

    def create(self, version: str, layout: Layout) -> Store:
        """Make an empty version; it is not live.

        Raises:
            BadSetting: the name is taken or not allowed, vectors have more numbers than pgvector
                takes, pgvector is not there, or the user may not make tables.
        """
        require_name(version)
        self._catalogue.add(version, layout)
        return self.open(version)

    def open(self, version: str) -> Store:
        """Open a version.

        Raises:
            BadFile: there is none of that name, or it is damaged.
        """
        from nearfar.stores.postgres_store import PostgresStore

        return PostgresStore(self._url, self._catalogue.find(version), self._indexed_from)

    def drop(self, version: str) -> None:
        """Remove a version that is not live; who has it open may still read until it closes.

        Raises:
            BadSetting: it is live, or there is none of that name.
        """
        self._catalogue.drop(version)


def _catalogue(url: str, index: str) -> "Catalogue":
    try:
        import_module("pgvector.psycopg")
        from nearfar.stores.postgres_catalogue import Catalogue
    except ImportError as error:
        raise BadSetting(
            "An index in PostgreSQL needs the Python packages psycopg and pgvector "
            f"({error}). Install them with `pip install 'nearfar[postgres]'`."
        ) from error
    return Catalogue(url, index)
