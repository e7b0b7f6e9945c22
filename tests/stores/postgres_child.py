"""What other processes do to a shelf in the tests of PostgreSQL: they write, and are killed."""

from multiprocessing.connection import Connection
from threading import Barrier

import torch

from nearfar.errors import BadFile, BadSetting
from nearfar.records import Document
from nearfar.stores.contract import Entry, Layout
from nearfar.stores.postgres import PostgresShelf

LAYOUT = Layout(dim=4, fields={"round": "integer"})
DOCUMENTS = 8  # of a write: half of them new
PIECES = 3


def written(number: int) -> list[Entry]:
    """Return what the write of that number puts in; it also mends half of the last.

    All of a document says the number of its write.
    """
    vectors = torch.full((PIECES, 4), float(number))
    spans = tuple((at, at + 1) for at in range(PIECES))
    return [
        Entry(
            Document(id=f"{at:05}", content=f"words {number}", fields={"round": number}),
            str(number),
            vectors,
            spans,
        )
        for at in range(number * DOCUMENTS // 2, number * DOCUMENTS // 2 + DOCUMENTS)
    ]


def write_on(url: str, index: str, first: int, writes: int, said: Connection) -> None:
    """Write so often, and say each number once it is kept; what failed is said, and done again."""
    store = PostgresShelf(url, index).open("one")
    for number in range(first, first + writes):
        while True:
            try:
                store.upsert(written(number))
                break
            except BadFile as lost:
                said.send(str(lost))
        said.send(number)
    store.close()


def hold_open(url: str, index: str, said: Connection) -> None:
    """Open a version, and keep it."""
    store = PostgresShelf(url, index).open("one")
    said.send(store.count())
    said.recv()


def switch(url: str, index: str, version: str, gate: Barrier, said: Connection) -> None:
    """Make a version live together with others who make another one live."""
    shelf = PostgresShelf(url, index)
    gate.wait(60)
    try:
        shelf.switch(version, None)
    except BadSetting as refused:
        said.send(str(refused))
    else:
        said.send(version)
