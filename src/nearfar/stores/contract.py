"""What every store does: it keeps documents with their vectors, and finds them again.

A store knows no model and no space: it is given vectors, all of one length. Who puts them in
and asks for them (`search/`) makes sure that they are of one space, which stands in `facts`.

Shapes: D dimensions, P pieces of a document, Q queries.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from jaxtyping import Float
from torch import Tensor

from nearfar.progress import Progress
from nearfar.records import Document
from nearfar.stores.filters import Where

Kind = Literal["text", "integer", "number", "truth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is settled when a store is made, and never changes after."""

    dim: int  # D of every vector
    fields: Mapping[str, Kind] = field(default_factory=dict)  # that a search can be narrowed by
    words: bool = True  # whether words can be searched (BM25, or what the store has)


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as it is put into a store: whole, or in pieces that are found one by one."""

    document: Document
    digest: str  # of the text that was embedded: what is unchanged need not be embedded again
    vectors: Float[Tensor, "P D"]  # of length 1
    pieces: tuple[tuple[int, int], ...]  # P spans of characters of the content; (0, its length)


@dataclass(frozen=True, slots=True)
class Found:
    """A document that was found by its best piece."""

    id: str
    score: float  # a cosine; of words whatever the store makes of them, above 0
    piece: int = 0  # which of its pieces; of words always 0


class Store(Protocol):
    """One version of an index: documents, vectors and facts, safe to share between threads.

    A write that has returned is there after a crash, whole, and seen by every later read; a
    read beside it sees each document as it was or as it is. What was put in comes back equal:
    any text, any field of any scalar kind, whether or not searches can be narrowed by it.
    """

    @property
    def layout(self) -> Layout:
        """What was settled when it was made."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was last said of it with `tell`; JSON."""
        ...

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Keep these facts in place of the earlier ones."""
        ...

    def count(self) -> int:
        """Return how many documents it holds."""
        ...

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Put documents in, each in place of the one with its id; of one id the last counts.

        Raises:
            BadRecord: a vector is not D numbers, all finite; an id is empty, or a text holds half
                of a surrogate pair; or a field that searches can be narrowed by is of another
                kind. Nothing of the call is kept.
            StoreFull: there is no room. Nothing of the call is kept, nothing else is lost.
        """
        ...

    def delete(self, ids: Iterable[str]) -> int:
        """Take documents out; return how many were there."""
        ...

    def fetch(self, ids: Iterable[str]) -> dict[str, Document]:
        """Return the documents of these ids that are there."""
        ...

    def digests(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the digests of these ids that are there."""
        ...

    def scan(self, after: str = "") -> Iterator[Document]:
        """Yield all documents with an id above `after`, in the order of their ids."""
        ...

    def nearest(
        self,
        vectors: Float[Tensor, "Q D"],
        k: int,
        *,
        where: Where = (),
        exact: bool = False,
    ) -> list[list[Found]]:
        """Return of each query the k documents with the highest cosine, best first.

        Never fewer than k while so many match `where`. Equals stand in the order of their ids
        where the search is exact.

        Args:
            vectors: of length 1.
            k: at most so many, 1 or more.
            where: conditions that all must hold.
            exact: whether every vector is looked at; else an approximate index answers, if
                there is one (`optimise`), and scores are exact all the same.

        Raises:
            BadSetting: a condition names no field of the layout, or a value of another kind.
        """
        ...

    def worded(self, queries: Sequence[str], k: int, *, where: Where = ()) -> list[list[Found]]:
        """Return of each query the k documents whose words say most, best first.

        A document without a word of the query is not found. Raises as `nearest`, and BadSetting
        where the layout has no words.
        """
        ...

    def optimise(self, progress: Progress) -> None:
        """Do what keeps searches fast and the disk small; nothing that was put in is lost."""
        ...

    def pending(self) -> int:
        """Return how many vectors an approximate search has to look at one by one."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the store is not used after."""
        ...


class Shelf(Protocol):
    """Where the versions of one index stand side by side, and which of them is live."""

    def versions(self) -> list[str]:
        """Return the names of all versions, the oldest first."""
        ...

    def live(self) -> str | None:
        """Return the version that searches go to; None: none was chosen yet."""
        ...

    def switch(self, version: str, expected: str | None) -> None:
        """Make a version live, at once and for all, if `expected` is live now.

        Raises:
            BadSetting: there is no such version, or another one is live by now.
        """
        ...

    def create(self, version: str, layout: Layout) -> Store:
        """Make an empty version; it is not live.

        Raises:
            BadSetting: the name is taken, or is none that a file or a table may have
                (a to z, 0 to 9, "-" and "_", at most 48).
        """
        ...

    def open(self, version: str) -> Store:
        """Open a version.

        Raises:
            BadFile: there is none of that name, or it is damaged.
        """
        ...

    def drop(self, version: str) -> None:
        """Remove a version that is not live; who has it open may still read until it closes.

        Raises:
            BadSetting: it is live, or there is none of that name.
        """
        ...
