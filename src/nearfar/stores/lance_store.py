"""One version of an index in a Lance table: what the contract of stores says, told to the library.

A row is a piece. A document's pieces are replaced in one commit: of a write all or nothing is seen.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.compute as pc
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadFile
from nearfar.progress import Progress
from nearfar.records import Document
from nearfar.stores import lance_finding, lance_rows, lance_upkeep
from nearfar.stores.admitting import admitted, require_words
from nearfar.stores.contract import Entry, Found, Layout
from nearfar.stores.filters import Where, checked
from nearfar.stores.lance_disk import (
    TABLE,
    change,
    lance_library,
    mend,
    needs_mending,
    read_json,
    worded,
    write_json,
    writing,
)

FACTS = "facts.json"
_DOCUMENTS_PER_SCAN = 1_000
_TRIES = 10  # to read what another process may have replaced and removed meanwhile

T = TypeVar("T")


class LanceStore:
    """One version; threads may share it, and processes may open the same one."""

    def __init__(
        self, folder: Path, layout: Layout, sizes: lance_upkeep.Sizes, let_go: Callable[[], None]
    ) -> None:
        """Open a version that a shelf has made.

        Args:
            folder: of the version.
            layout: as it was made.
            sizes: which index is built from how many vectors on.
            let_go: called once, when it is closed or forgotten; not if it could not be opened.

        Raises:
            BadFile: it is damaged.
        """
        self._folder = folder
        self._layout = layout
        self._sizes = sizes
        # Of the table as it was last seen: its version, the index, the rows of a document.
        self._seen: tuple[int, lance_finding.Graph | None, float] = (-1, None, 1.0)
        if needs_mending(folder):
            with writing(folder):  # another process may be at work, and not stopped at all
                mend(folder)
        self._table = self._opened()
        self._let_go = weakref.finalize(self, let_go)

    @property
    def layout(self) -> Layout:
        """What was settled when it was made."""
        return self._layout

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was last said of it with `tell`."""
        return read_json(self._folder / FACTS)

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Keep these facts in place of the earlier ones."""
        write_json(self._folder / FACTS, dict(facts))

    def count(self) -> int:
        """Return how many documents it holds."""
        return int(self._read(lambda table: table.count_rows(filter="piece = 0")))

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Put documents in, each in place of the one with its id; all of them in one commit."""
        put = admitted(entries, self._layout)
        if put:
            self._replace(put, lance_rows.rows(put.values(), self._layout))

    def delete(self, ids: Iterable[str]) -> int:
        """Take documents out; return how many were there."""
        return self._replace(ids, None)

    def fetch(self, ids: Iterable[str]) -> dict[str, Document]:
        """Return the documents of these ids that are there."""
        return {
            one.id: one
            for block in lance_rows.in_blocks(ids)
            for one in lance_rows.documents(self._first_rows(block, lance_rows.DOCUMENT))
        }

    def digests(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the digests of these ids that are there."""
        found: dict[str, str] = {}
        for block in lance_rows.in_blocks(ids):
            table = self._first_rows(block, ["id", "digest"])
            found |= zip(table["id"].to_pylist(), table["digest"].to_pylist(), strict=True)
        return found

    def scan(self, after: str = "") -> Iterator[Document]:
        """Yield all documents with an id above `after`, in the order of their ids."""
        ids = self._read(
            lambda table: table.to_table(columns=["id"], filter=lance_rows.is_after(after))
        )["id"]
        ids = ids.take(pc.sort_indices(ids))
        for start in range(0, len(ids), _DOCUMENTS_PER_SCAN):
            block = ids[start : start + _DOCUMENTS_PER_SCAN].to_pylist()
            found = self.fetch(block)
            yield from (found[one] for one in block if one in found)

    def nearest(
        self,
        vectors: Float[Tensor, "Q D"],
        k: int,
        *,
        where: Where = (),
        exact: bool = False,
    ) -> list[list[Found]]:
        """Return of each query the k documents with the highest cosine, best first."""
        if vectors.shape[1] != self._layout.dim:
            raise ValueError(f"expected queries of {self._layout.dim}, got {vectors.shape[1]}")
        clause = lance_rows.clause(checked(where, self._layout.fields), self._layout)

        def ask(table: Any) -> list[list[Found]]:
            graph, rows_per_document = self._known_of(table)
            asked = lance_finding.Asked(table, k, clause, rows_per_document)
            return lance_finding.nearest(asked, vectors, None if exact else graph)

        return self._read(ask)

    def worded(self, queries: Sequence[str], k: int, *, where: Where = ()) -> list[list[Found]]:
        """Return of each query the k documents whose words say most by BM25, best first."""
        require_words(self._layout)
        clause = lance_rows.clause(checked(where, self._layout.fields), self._layout)
        words = [lance_rows.query_words(query) for query in queries]
        return self._read(
            lambda table: [
                lance_finding.worded(lance_finding.Asked(table, k, clause, 1.0), one)
                for one in words
            ]
        )

    def optimise(self, progress: Progress) -> None:
        """Join small files, bring indices up to date, remove what no version needs."""
        lance_upkeep.optimise(self._folder, self._sizes, progress)

    def pending(self) -> int:
        """Return how many vectors an approximate search has to look at one by one."""
        return self._read(lance_upkeep.pending)

    def close(self) -> None:
        """Let go of the version."""
        self._let_go()

    def _replace(self, ids: Iterable[str], rows: Any) -> int:
        """In one commit take documents out and put rows in; return how many documents were out."""
        blocks = list(lance_rows.in_blocks(ids))
        taken = 0
        with writing(self._folder):
            if needs_mending(self._folder):
                mend(self._folder)
            table = self._latest()

            def make() -> Any:
                nonlocal taken
                old = [part for block in blocks for part in _rows_of(table, block)]
                taken = sum(first for _, first in old)
                return _operation(table, [address for address, _ in old], rows)

            self._table = change(self._folder, table, make)
        return taken

    def _first_rows(self, ids: Sequence[str], columns: Sequence[str]) -> Any:
        condition = f"piece = 0 AND {lance_rows.is_one_of(ids)}"
        return self._read(lambda table: table.to_table(columns=list(columns), filter=condition))

    def _read(self, ask: Callable[[Any], T]) -> T:
        """Ask the newest state of the table; again if upkeep has removed its files meanwhile."""
        for _ in range(_TRIES):
            table = self._latest()
            try:
                return ask(table)
            except (OSError, ValueError, RuntimeError) as error:
                if self._latest().version == table.version:
                    raise worded(error, self._folder / TABLE) from error
        raise BadFile(
            f"{self._folder / TABLE} was replaced {_TRIES} times while it was read. Let its "
            "upkeep run less often."
        )

    def _latest(self) -> Any:
        table = self._table
        try:
            if (latest := table.latest_version) != table.version:
                # With what it has in memory of the index, which a table opened anew has not.
                self._table = table = table.checkout_version(latest)
        except (OSError, ValueError, RuntimeError) as error:
            raise worded(error, self._folder / TABLE) from error
        return table

    def _opened(self) -> Any:
        try:
            return lance_library().dataset(str(self._folder / TABLE))
        except (OSError, ValueError, RuntimeError) as error:
            raise worded(error, self._folder / TABLE) from error

    def _known_of(self, table: Any) -> tuple[lance_finding.Graph | None, float]:
        version, graph, rows_per_document = self._seen
        if version != table.version:
            graph = lance_upkeep.graph_of(table)
            rows_per_document = table.count_rows() / max(1, table.count_rows(filter="piece = 0"))
            self._seen = (table.version, graph, rows_per_document)
        return graph, rows_per_document


def _rows_of(table: Any, ids: Sequence[str]) -> list[tuple[int, bool]]:
    """Return where the rows of documents stand, and whether each is the first of its document."""
    found = table.to_table(
        columns=["piece"], filter=lance_rows.is_one_of(ids), with_row_address=True
    )
    firsts = (piece == 0 for piece in found["piece"].to_pylist())
    return list(zip(found["_rowaddr"].to_pylist(), firsts, strict=True))


def _operation(table: Any, old: Sequence[int], rows: Any) -> Any:
    """Write what takes rows out and puts others in; return what makes both true at once."""
    lance = lance_library()
    offsets: dict[int, list[int]] = {}
    for address in old:
        offsets.setdefault(address >> 32, []).append(address & 0xFFFF_FFFF)
    left = {at: table.get_fragment(at).delete_rows(some) for at, some in offsets.items()}
    new = lance.fragment.write_fragments(rows, table) if rows is not None else []
    if not left and not new:
        return None
    return lance.LanceOperation.Update(
        removed_fragment_ids=[at for at, fragment in left.items() if fragment is None],
        updated_fragments=[fragment for fragment in left.values() if fragment is not None],
        new_fragments=new,
    )
