"""TREC run files: what any search system found, as lines of `query Q0 document rank score tag`.

Shapes: H hits (the lines of a file).
"""

import gzip
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from nearfar.data.lines import numbered_lines, require_file
from nearfar.errors import BadFile, BadRecord
from nearfar.files import whole_file
from nearfar.progress import Progress, silent

_COLUMNS = ("query", "Q0", "document", "rank", "score", "tag")
_BLOCK_BYTES = 16 << 20  # of the file, that are taken apart at once
_GZIP_MAGIC = b"\x1f\x8b"
_WHITE = re.compile(r"[ \t\r\n\v\f]")  # what divides columns for trec_eval, whatever the language
_AS_WRITTEN = "`query Q0 document rank score tag`, divided by spaces or tabs"

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Run(Mapping[str, list[str]]):
    """The rankings of a run file: of each query the document ids, best first.

    Ids stand in memory once, and a hit is a number of four bytes; a ranking becomes a list when
    it is asked for.
    """

    tag: str  # of its first line: what its system calls itself
    ids: npt.NDArray[np.object_]  # of documents
    hits: Ints  # (H,) places in `ids`, query by query, best first
    rows: Mapping[str, tuple[int, int]]  # of each query, its first hit and the one after its last

    def __getitem__(self, query: str) -> list[str]:
        start, end = self.rows[query]
        found: list[str] = self.ids[self.hits[start:end]].tolist()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of a file as numbers, in their order."""

    tag: str
    queries: list[str]
    documents: list[str]
    query: Ints  # (H,) place in `queries`
    document: Ints  # (H,) place in `documents`
    score: npt.NDArray[np.float64]  # (H,)


def read_run(path: Path, *, progress: Progress = silent) -> Run:
    """Read a run file, plain or gzipped, as trec_eval reads it.

    The rank is ignored. Documents are sorted by score, highest first, compared as float32; of
    equal scores, the id that stands later in the alphabet of bytes comes first. The lines of a
    query need not stand together.

    Ten million lines (10,000 queries, 1,000 hits each) take about 0.6 GB and a few seconds.

    Raises:
        BadFile: the file is missing, empty, not UTF-8, or its gzip is damaged.
        BadRecord: a line has not six columns (as with an id that holds a space), its score is no
            number, infinite, or too large for float32, or it says a document a second time.

    Source: trec_eval 9, form_res_rels.c.
    """
    require_file(path)
    lines = _in_blocks(path, progress) or _one_by_one(path)
    scores = lines.score.astype(np.float32) if _fits(lines.score).all() else None
    if scores is None:
        row = int(np.flatnonzero(~_fits(lines.score))[0])
        raise BadRecord(
            f"{path}:{_line_of(path, row)}: expected a score that is a finite float32, found "
            f"{lines.score[row]}. A system that scores so has no order to compare."
        )
    _require_once(path, lines)
    order = np.argsort(lines.query, kind="stable") if (np.diff(lines.query) < 0).any() else None
    query, hits = lines.query, lines.document
    if order is not None:
        query, hits, scores = query[order], hits[order], scores[order]
    hits = _sorted(query, hits, scores, lines.documents)
    ends = np.cumsum(np.bincount(query, minlength=len(lines.queries))).tolist()
    rows = dict(zip(lines.queries, zip([0, *ends[:-1]], ends, strict=True), strict=True))
    ids = np.empty(len(lines.documents), dtype=np.object_)
    ids[:] = lines.documents
    return Run(lines.tag, ids, hits, rows)


def write_run(path: Path, rankings: Mapping[str, Sequence[str]], *, tag: str) -> None:
    """Write rankings as a run file, whole or not at all; gzipped if its name ends in .gz.

    The score of place r of n is n + 1 - r: no two are equal, so no reader breaks a tie its own
    way.

    Args:
        path: of the file.
        rankings: of each query document ids, best first, each once.
        tag: what the system is called.

    Raises:
        BadRecord: an id or the tag is empty or holds a space, which the format cannot say.
    """
    require_word("tag", tag)
    with whole_file(path) as part, open_for_writing(part, packed=path.suffix == ".gz") as file:
        for query, ids in rankings.items():
            require_word("query", query)
            for place, id_ in enumerate(ids):
                require_word("document", id_)
                file.write(f"{query} Q0 {id_} {place + 1} {len(ids) - place} {tag}\n")


def require_word(what: str, id_: str) -> None:
    """Raise BadRecord unless TREC's format can say an id: something, and no space in it."""
    if not id_ or _WHITE.search(id_):
        raise BadRecord(
            f"Expected a {what} without spaces and tabs, since they divide the columns of TREC's "
            f"files, found {id_!r}. Rename it, or import with ids of another column."
        )


def open_for_writing(path: Path, *, packed: bool) -> IO[str]:
    """Open a text file, plain or packed."""
    if not packed:
        return path.open("w", encoding="utf-8", newline="\n")
    return cast(IO[str], gzip.open(path, "wt", encoding="utf-8", newline="\n"))


def columns_of(line: str) -> list[str]:
    """Return what stands between the spaces and tabs of a line."""
    return [part for part in _WHITE.split(line) if part]


def _in_blocks(path: Path, progress: Progress) -> _Lines | None:
    """Read quickly what is quite regular; None for a file that has to be looked at line by line.

    Whether a line is bad or only unusual (two spaces in a row) the slow way tells: it knows the
    line.
    """
    head = next((line for _, line in numbered_lines(path) if line.strip()), None)
    if head is None:
        return None
    tag = columns_of(head)[-1]
    kind = pa.dictionary(pa.int32(), pa.string())
    read = csv.ReadOptions(column_names=list(_COLUMNS), block_size=_BLOCK_BYTES)
    parse = csv.ParseOptions(
        delimiter="\t" if "\t" in head else " ", quote_char=False, double_quote=False
    )
    convert = csv.ConvertOptions(
        include_columns=["query", "document", "score"],
        column_types={"query": kind, "document": kind, "score": pa.float64()},
        null_values=[],
    )
    done, batches = 0, []
    try:
        with pa.input_stream(str(path), compression=_packing(path)) as file:
            for batch in csv.open_csv(file, read, parse, convert):
                batches.append(batch)
                done += len(batch)
                progress(f"reading {path.name}", done, None)
    except (pa.ArrowException, OSError):
        return None
    table = pa.Table.from_batches(batches).unify_dictionaries()
    found = {}
    for name in ("query", "document"):
        words = table.column(name).chunk(0).dictionary
        if pc.any(pc.match_substring_regex(words, r"^$|[ \t\r\n\v\f]")).as_py():
            return None
        codes = [chunk.indices.to_numpy() for chunk in table.column(name).chunks]
        found[name] = (words.to_pylist(), np.concatenate(codes))
    scores = table.column("score").to_numpy()
    return _Lines(tag, found["query"][0], found["document"][0], found["query"][1],
                  found["document"][1], scores)  # fmt: skip


def _packing(path: Path) -> str | None:
    with path.open("rb") as file:
        return "gzip" if file.read(2) == _GZIP_MAGIC else None


def _one_by_one(path: Path) -> _Lines:
    queries: dict[str, int] = {}
    documents: dict[str, int] = {}
    query, document, score, tag = array("i"), array("i"), array("d"), ""
    for number, line in numbered_lines(path):
        parts = columns_of(line)
        if not parts:
            continue
        if len(parts) != len(_COLUMNS):
            raise BadRecord(
                f"{path}:{number}: expected six columns, {_AS_WRITTEN}, found {len(parts)}: "
                f"{line.strip()[:80]!r}. An id may hold no space; correct the line."
            )
        try:
            score.append(float(parts[4]))
        except ValueError as error:
            raise BadRecord(
                f"{path}:{number}: expected a number as the score, found {parts[4]!r}. Lines are "
                f"{_AS_WRITTEN}."
            ) from error
        query.append(queries.setdefault(parts[0], len(queries)))
        document.append(documents.setdefault(parts[2], len(documents)))
        tag = tag or parts[5]
    if not queries:
        raise BadFile(f"{path}: only blank lines. Expected {_AS_WRITTEN}.")
    return _Lines(
        tag, list(queries), list(documents), np.array(query, np.int32),
        np.array(document, np.int32), np.array(score, np.float64),
    )  # fmt: skip


def _fits(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which scores are finite as float32."""
    fits: npt.NDArray[np.bool_] = np.abs(scores) <= np.finfo(np.float32).max  # NaN is not
    return fits


def _require_once(path: Path, lines: _Lines) -> None:
    pairs = lines.query.astype(np.int64) * len(lines.documents) + lines.document
    ordered = np.sort(pairs)
    if not (ordered[1:] == ordered[:-1]).any():
        return
    order = np.argsort(pairs, kind="stable")
    again = order[1:][pairs[order[1:]] == pairs[order[:-1]]]
    row = int(again.min())
    query, document = lines.queries[lines.query[row]], lines.documents[lines.document[row]]
    raise BadRecord(
        f"{path}:{_line_of(path, row)}: expected each document once a query, found {document!r} "
        f"a second time for query {query!r}. Remove one of the lines."
    )


def _sorted(query: Ints, hits: Ints, scores: Any, documents: Sequence[str]) -> Ints:
    """Return the hits of each query by falling score, equals by falling id.

    Most files are so already: only queries that are not, or that have ties, are sorted.
    """
    same = query[1:] == query[:-1]
    torn = np.unique(query[1:][same & ~(scores[1:] < scores[:-1])])
    if not len(torn):
        return hits
    place = np.empty(len(documents), np.int64)
    place[pc.array_sort_indices(pa.array(documents)).to_numpy()] = np.arange(len(documents))
    rows = np.flatnonzero(np.isin(query, torn))
    best = np.lexsort((-place[hits[rows]], -scores[rows], query[rows]))
    hits = hits.copy()
    hits[rows] = hits[rows[best]]
    return hits


def _line_of(path: Path, row: int) -> int:
    """Return the number, from 1, of the line that holds a hit; blank lines hold none."""
    filled = (number for number, line in numbered_lines(path) if line.strip())
    return next(number for place, number in enumerate(filled) if place == row)
