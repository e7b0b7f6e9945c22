"""Live indexes to search in and to write to: small, exact, and with an encoder that counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from doubles import LETTERS, LetterEncoder
from shelf import TEXTS, Scattered
from torch import Tensor

from nearfar.progress import Progress, silent
from nearfar.records import Document, Role, Scalar
from nearfar.search.live_index import LiveIndex
from nearfar.stores.contract import Kind, Shelf
from nearfar.stores.memory import MemoryShelf

FIELDS: dict[str, Kind] = {"side": "text", "place": "integer"}
OTHER = replace(LETTERS, weights="other letters")
KINDS = ("memory", "lance")


def new_shelf(kind: str, folder: Path) -> Shelf:
    if kind == "memory":
        return MemoryShelf()
    from nearfar.stores.lance import LanceShelf

    return LanceShelf(folder / "versions")


def side(place: int) -> str:
    return "left" if place % 3 else "right"


def text(place: int, content: str, fields: Mapping[str, Scalar] | None = None) -> Document:
    own = {"side": side(place), "place": place} if fields is None else fields
    return Document(id=f"d{place:02}", content=content, source=f"t:{place}", fields=own)


DOCUMENTS = [text(place, content) for place, content in enumerate(TEXTS)]


def filled(shelf: Shelf | None = None, encoder: LetterEncoder | None = None) -> LiveIndex:
    """An index of TEXTS; every third is on the right side."""
    index = LiveIndex.create(shelf or MemoryShelf(), encoder or Scattered(), fields=FIELDS)
    index.upsert(DOCUMENTS)
    return index


class Counting(LetterEncoder):
    """Keeps what it was asked to embed; stops before it embeds more texts than it may."""

    most: float = float("inf")

    def __init__(self, space=LETTERS) -> None:
        super().__init__(space)
        self.embedded: list[str] = []

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        if role == "document":
            if len(self.embedded) + len(contents) > self.most:
                raise KeyboardInterrupt
            self.embedded += contents
        return super().encode(contents, role)


def held(index: LiveIndex) -> dict[str, Document]:
    return {document.id: document for document in index.store.scan()}


def live(shelf: Shelf, encoder: LetterEncoder) -> dict[str, Document]:
    index = LiveIndex.open(shelf, encoder)
    try:
        return held(index)
    finally:
        index.close()
