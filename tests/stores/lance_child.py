"""What other processes do to a shelf in the tests of LanceDB: they write, and are killed."""

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from nearfar.records import Document
from nearfar.stores.contract import Entry, Layout
from nearfar.stores.lance import LanceShelf

LAYOUT = Layout(dim=8, fields={"round": "integer"})
PIECES = 3
DOCUMENTS = 12  # of a write: half of them new


def written(writer: str, number: int) -> list[Entry]:
    """Return what a writer puts in with its write of that number; each also mends half of the last.

    All pieces of a document say the number of their write.
    """
    vectors = torch.zeros(PIECES, 8)
    vectors[:, 0] = number
    vectors[range(PIECES), range(1, PIECES + 1)] = 1.0
    spans = tuple((at, at + 1) for at in range(PIECES))
    return [
        Entry(
            Document(id=f"{writer}-{at}", content=f"words {number}", fields={"round": number}),
            str(number),
            vectors,
            spans,
        )
        for at in range(number * DOCUMENTS // 2, number * DOCUMENTS // 2 + DOCUMENTS)
    ]


def write_on(folder: Path, writer: str, first: int, writes: int, said: Connection) -> None:
    """Write so often, and say each number once the write has returned."""
    store = LanceShelf(folder).open("one")
    for number in range(first, first + writes):
        store.upsert(written(writer, number))
        said.send(number)


def die_in_upkeep(folder: Path, step: int) -> None:
    """Begin upkeep, and be killed once so many of its steps are done."""

    def kill(what: str, done: int, total: int | None, note: str = "") -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    LanceShelf(folder).open("one").optimise(kill)
