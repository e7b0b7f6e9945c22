"""What keeps a Lance table fast and small: whole files, indices that know all rows, no past."""

import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from nearfar.progress import Progress
from nearfar.stores.lance_disk import (
    TABLE,
    UPKEEP,
    all_or_nothing,
    discard_indices,
    flush_new,
    lance_library,
    mend,
    state,
    worded,
    writing,
)
from nearfar.stores.lance_finding import VECTORS, Graph

WORDS, IDS = "words", "ids"  # what the indices are called
_PARTED, _GRAPHS = "IVF_FLAT", "IVF_HNSW_SQ"
_ROWS_PER_FILE = 131_072  # so much at most is written anew for a few changes in it
_SMALL_FILES = 8  # that may stand beside each other
_ROWS_PER_GRAPH = 131_072
_ROWS_PER_PART = 256  # fewer are too few to tell parts by, as the library warns
_PARTS = 8  # of an index, one for each upkeep; then it is built anew
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """From how many vectors on they are searched through an index, and which."""

    parted: int = 10_000  # IVF: some parts are looked at, of full vectors
    graphs: int = 50_000  # IVF with HNSW: graphs over vectors of one byte a number


def optimise(folder: Path, sizes: Sizes, progress: Progress) -> None:
    """Join small files, bring indices up to date, remove what no version needs.

    Writers wait while files are joined, but not while an index of vectors is built.
    """
    table = folder / TABLE
    with writing(folder, UPKEEP):
        progress("optimise", 0, _STEPS)
        with writing(folder):
            mend(folder)
            _forget(table)  # first what takes no room: the disk may be full
            with all_or_nothing(folder):
                _join(lance_library().dataset(str(table)))
                progress("optimise", 1, _STEPS)
                _take_up(lance_library().dataset(str(table)))
        progress("optimise", 2, _STEPS)
        _build(folder, sizes)
        progress("optimise", 3, _STEPS)
        with writing(folder):
            _forget(table)
    progress("optimise", _STEPS, _STEPS)


def make_indices(dataset: Any, *, words: bool) -> None:
    """Give an empty table the indices that it has from the beginning."""
    dataset.create_scalar_index("id", "BTREE", name=IDS)
    if words:
        # Words are split, folded and joined by spaces before (`words_of`): as in every other store.
        dataset.create_scalar_index(
            "words", "INVERTED", name=WORDS, with_position=False, base_tokenizer="whitespace",
            max_token_length=None, lower_case=False, stem=False, remove_stop_words=False,
            ascii_folding=False,
        )  # fmt: skip


def pending(dataset: Any) -> int:
    """Return how many vectors no approximate index knows."""
    return int(dataset.count_rows()) - sum(_Known(dataset).rows)


def graph_of(dataset: Any) -> Graph | None:
    """Return the approximate index of a table, if it has one."""
    known = _Known(dataset)
    if not known.kind:
        return None
    return Graph(_partitions(known.kind, known.rows[0]), known.kind == _GRAPHS)


def _join(dataset: Any) -> None:
    fragments = dataset.get_fragments()
    small = sum(one.count_rows() < _ROWS_PER_FILE for one in fragments)
    lost = sum(one.num_deletions for one in fragments)
    if small > _SMALL_FILES or 10 * lost > dataset.count_rows():
        dataset.optimize.compact_files(target_rows_per_fragment=_ROWS_PER_FILE)


def _take_up(dataset: Any) -> None:
    """Let every index know the rows that came since; of vectors as a part of its own."""
    for name in sorted(one.name for one in dataset.describe_indices()):
        new = {"num_indices_to_merge": 0} if name == VECTORS else {}
        dataset.optimize.optimize_indices(index_names=[name], **new)


def _build(folder: Path, sizes: Sizes) -> None:
    """Build the index of vectors, if there is none, or none that fits what the table has become."""
    table = folder / TABLE
    dataset = lance_library().dataset(str(table))
    rows = dataset.count_rows()
    known = _Known(dataset)
    kind = _wanted(rows, sizes) or known.kind  # what has shrunk keeps its index, in few parts
    if not rows or not kind or known.fits(kind, rows):
        return
    before = state(table, indices=True)
    try:
        built = dataset.create_index_uncommitted(
            "vector", kind, name=VECTORS, metric="cosine", replace=True,
            num_partitions=_partitions(kind, rows),
            fragment_ids=[one.fragment_id for one in dataset.get_fragments()],
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        discard_indices(table, before)
        raise worded(error, table) from error
    with writing(folder), all_or_nothing(folder):
        flush_new(table, before, indices=True)
        latest = lance_library().dataset(str(table))
        latest.commit_existing_index_segments(VECTORS, "vector", [built])


def _forget(table: Path) -> None:
    """Remove all versions but the last and those with a tag, and what only they needed."""
    try:
        lance_library().dataset(str(table)).cleanup_old_versions(
            older_than=timedelta(microseconds=1),
            # What belongs to no version was left by a writer that was killed: none is at work now.
            delete_unverified=True,
            error_if_tagged_old_versions=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise worded(error, table) from error


def _wanted(rows: int, sizes: Sizes) -> str:
    """Return which index a table of so many vectors should have; "" is none."""
    if rows < sizes.parted:
        return ""
    return _PARTED if rows < sizes.graphs else _GRAPHS


def _partitions(kind: str, rows: int) -> int:
    if kind == _GRAPHS:
        return math.ceil(rows / _ROWS_PER_GRAPH)
    return max(1, min(math.isqrt(rows), rows // _ROWS_PER_PART))


class _Known:
    """The index of vectors as it stands: its kind, and how many rows each of its parts knows."""

    def __init__(self, dataset: Any) -> None:
        self.kind = ""
        self.rows: list[int] = []  # the oldest part first: it is what the others were fitted to
        for index in dataset.describe_indices():
            if index.name == VECTORS:
                rows = {one.fragment_id: one.count_rows() for one in dataset.get_fragments()}
                self.kind = str(index.index_type)
                self.rows = [
                    sum(rows.get(at, 0) for at in part.fragment_ids)
                    for part in sorted(index.segments, key=lambda part: str(part.created_at))
                ]

    def fits(self, kind: str, rows: int) -> bool:
        """Return whether enough was there as it was built, and it need not be built again."""
        return self.kind == kind and len(self.rows) <= _PARTS and rows <= 4 * self.rows[0]
