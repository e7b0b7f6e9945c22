"""A sheet for a person to mark: is this negative wrong, or an answer after all? And back again.

The sheet is CSV for any spreadsheet. Cells that one would take for a formula begin with a
quotation mark; they are for eyes alone, as a mark is read back by the ids beside it.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfar.data.commas import csv_rows
from nearfar.data.copying import copy_records
from nearfar.data.dataset import Dataset
from nearfar.data.formulas import csv_safe
from nearfar.data.writer import write_dataset
from nearfar.errors import BadRecord
from nearfar.files import whole_file
from nearfar.fingerprint import file_sha256
from nearfar.records import Judgment, Origin

COLUMNS = (
    "is_answer", "query", "negative", "answer", "score", "rank", "query_id", "document_id",
)  # fmt: skip
_YES, _NO = ("1", "y", "yes", "true"), ("0", "n", "no", "false")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Marked:
    """What came back."""

    answers: int  # negatives that were answers
    wrong: int  # negatives that were rightly called so
    unmarked: int


def write_sheet(dataset: Dataset, path: Path, *, rows: int = 50, seed: int = 0) -> int:
    """Write some mined negatives, drawn by chance, with a column to mark; return how many.

    Raises:
        BadRecord: the dataset has no mined negative.
    """
    mined = [j for j in dataset.judgments("train") if j.origin.kind == "mined" and j.grade == 0]
    if not mined:
        raise BadRecord(
            f"{dataset.folder}: expected mined negatives, found none. "
            "Make some with `nearfar mine`."
        )
    places = np.random.default_rng(seed).permutation(len(mined))[:rows]
    some = [mined[place] for place in sorted(places)]
    queries = {judgment.query_id for judgment in some}
    answers = {j.query_id: j.document_id for j in dataset.judgments() if j.grade > 0
               and j.query_id in queries}  # fmt: skip
    wanted = {judgment.document_id for judgment in some} | set(answers.values())
    asked = {query.id: query.content for query in dataset.queries() if query.id in queries}
    texts = {one.id: one.content for one in dataset.documents() if one.id in wanted}
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for judgment in some:
            facts = judgment.origin.facts
            writer.writerow(csv_safe(str(cell)) for cell in (
                "", asked[judgment.query_id], texts[judgment.document_id],
                texts.get(answers.get(judgment.query_id, ""), ""), facts.get("score", ""),
                facts.get("rank", ""), judgment.query_id, judgment.document_id,
            ))  # fmt: skip
    return len(some)


def read_sheet(path: Path) -> Iterator[tuple[int, str, str, bool | None]]:
    """Yield line, query id, document id and mark of each row; None where there is no mark.

    Raises:
        BadFile: the file cannot be read.
        BadRecord: it is no such sheet, or a mark is neither yes nor no.
    """
    rows = csv_rows(path)
    _, header = next(rows, (1, []))
    missing = [name for name in ("is_answer", "query_id", "document_id") if name not in header]
    if missing:
        raise BadRecord(
            f"{path}:1: expected the columns of a sheet of `nearfar audit`, found no "
            f"{', '.join(missing)}. Save the sheet as CSV with its first line."
        )
    for line, cells in rows:
        values = dict(zip(header, cells, strict=False))
        mark = values.get("is_answer", "").strip().casefold()
        if mark and mark not in _YES + _NO:
            raise BadRecord(
                f"{path}:{line}: expected yes, no, 1, 0 or nothing in is_answer, found {mark!r}. "
                "Correct the mark, or empty the cell."
            )
        ids = [_unquoted(values.get(name, "")) for name in ("query_id", "document_id")]
        yield line, ids[0], ids[1], (mark in _YES) if mark else None


def apply_sheet(
    dataset: Dataset, path: Path, folder: Path, *, by: str = "", replace: bool = False
) -> Marked:
    """Write the dataset again with what a person said of its negatives.

    A negative that is an answer becomes one, of grade 1; one that is none is judged 0 by a
    person. Either way the mined judgment of the pair goes.

    Args:
        dataset: the one that the sheet was made from.
        path: the sheet.
        folder: where the new dataset will stand.
        by: who marked.
        replace: take the place of a dataset that stands there.

    Raises:
        BadFile: the sheet cannot be read, or the folder exists.
        BadRecord: the sheet names a pair that the dataset has no mined negative of, or marks
            nothing.
    """
    marks: dict[tuple[str, str], tuple[int, bool]] = {}
    unmarked = 0
    for line, query, document, mark in read_sheet(path):
        if mark is None:
            unmarked += 1
        else:
            marks[query, document] = (line, mark)
    _require_mined(dataset, path, marks)
    parent = {"kind": "dataset", "path": str(dataset.folder), "digest": dataset.digest,
              "marked_with": {"sheet": path.name, "sha256": file_sha256(path)}}  # fmt: skip
    licence = str(dataset.manifest.get("licence", "unknown"))
    with write_dataset(folder, licence=licence, parents=[parent], replace=replace) as writer:
        copy_records(
            dataset,
            writer,
            keep=lambda j: j.origin.kind != "mined" or (j.query_id, j.document_id) not in marks,
        )
        for (query, document), (line, mark) in marks.items():
            origin = Origin(kind="human", source=f"{path.name}:{line}", by=by)
            writer.add_judgment(Judgment(query_id=query, document_id=document, grade=float(mark),
                                         origin=origin, split="train"))  # fmt: skip
    answers = sum(mark for _, mark in marks.values())
    return Marked(answers, len(marks) - answers, unmarked)


def _require_mined(
    dataset: Dataset, path: Path, marks: Mapping[tuple[str, str], tuple[int, bool]]
) -> None:
    if not marks:
        raise BadRecord(
            f"{path}: expected a mark in is_answer of some row, found none. Write yes where the "
            "negative does answer the query, and no where it does not."
        )
    mined = {(j.query_id, j.document_id) for j in dataset.judgments("train")
             if j.origin.kind == "mined"}  # fmt: skip
    for pair, (line, _) in marks.items():
        if pair not in mined:
            raise BadRecord(
                f"{path}:{line}: expected a mined negative of {dataset.folder}, found query "
                f"{pair[0]!r} and document {pair[1]!r}, which are none. Is it the sheet of "
                "another dataset?"
            )


def _unquoted(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell
