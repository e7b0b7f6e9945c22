"""Writes a dataset as a BEIR folder, which MTEB, Pyserini and many others read."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.data.grades import whole_grade
from nearfar.errors import BadRecord
from nearfar.files import whole_folder
from nearfar.progress import Progress, silent
from nearfar.records import Document, Query, Split

_SPLITS: tuple[Split, ...] = ("train", "dev", "test")
_HEADER = "query-id\tcorpus-id\tscore\n"  # readers drop the first line, whatever it says


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what the format has no place for."""

    documents: int
    queries: int
    judgments: Mapping[Split, int]  # of each split
    left_out: Mapping[str, int]  # why, and how many judgments


def write_beir(
    dataset: Dataset, folder: Path, *, replace: bool = False, progress: Progress = silent
) -> Exported:
    """Write corpus.jsonl, queries.jsonl and qrels/{train,dev,test}.tsv, whole or not at all.

    Read back with `nearfar import`, texts, ids, fields, splits and whole grades are the same. A
    field `title` that the content begins with becomes the title, other fields and the group go
    into `metadata`. Grades are whole numbers there: an answer stays at least 1.

    A pair that was judged several times in a split gets its highest grade. What is called neither
    (NaN), and judgments that are set aside, are left out and counted: BEIR has no place for them.

    Args:
        dataset: what is written.
        folder: made here.
        replace: whether it takes the place of what stands there.
        progress: told after every some thousand documents.

    Raises:
        BadFile: the folder is there, and is not to be replaced.
        BadRecord: an id of a judgment holds a tab or the end of a line, which divide the columns.
    """
    left_out: Counter[str] = Counter()
    total = dataset.count("documents")
    with whole_folder(folder, replace=replace) as part:
        documents = _write_lines(
            part / "corpus.jsonl", map(_document, dataset.documents()), progress, total
        )
        queries = _write_lines(part / "queries.jsonl", map(_query, dataset.queries()))
        (part / "qrels").mkdir()
        judged = {split: _write_qrels(dataset, split, part / "qrels", left_out)
                  for split in _SPLITS}  # fmt: skip
    if aside := sum(1 for _ in dataset.judgments("aside")):
        left_out["set aside"] = aside
    return Exported(documents, queries, judged, dict(left_out))


def _write_lines(
    path: Path, rows: Iterable[Mapping[str, Any]], progress: Progress = silent, total: int = 0
) -> int:
    done = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            done += 1
            if done % 4_096 == 0 or done == total:
                progress("writing documents", done, total)
    return done


def _document(document: Document) -> dict[str, Any]:
    title, text = document.fields.get("title"), document.content
    facts = _metadata(document)
    if isinstance(title, str) and title and f"{text} ".startswith(f"{title} "):
        del facts["title"]
        text = text[len(title) + 1 :]
    else:
        title = ""
    return {"_id": document.id, "title": title, "text": text, "metadata": facts}


def _query(query: Query) -> dict[str, Any]:
    return {"_id": query.id, "text": query.content, "metadata": _metadata(query)}


def _metadata(text: Document | Query) -> dict[str, Any]:
    facts: dict[str, Any] = dict(text.fields)
    return facts | ({"group": text.group} if text.group else {})


def _write_qrels(dataset: Dataset, split: Split, folder: Path, left_out: Counter[str]) -> int:
    """Write the judgments of a split, if there are any; return how many."""
    grades: dict[tuple[str, str], int] = {}
    for judgment in dataset.judgments(split):
        if math.isnan(judgment.grade):
            left_out["called neither"] += 1
            continue
        pair = (judgment.query_id, judgment.document_id)
        left_out["judged before"] += pair in grades
        grades[pair] = max(grades.get(pair, 0), whole_grade(judgment.grade))
    left_out += Counter()  # drops what was never counted
    if not grades:
        return 0
    with (folder / f"{split}.tsv").open("w", encoding="utf-8", newline="\n") as file:
        file.write(_HEADER)
        for (query, document), grade in grades.items():
            _require_cell(query)
            _require_cell(document)
            file.write(f"{query}\t{document}\t{grade}\n")
    return len(grades)


def _require_cell(id_: str) -> None:
    if any(mark in id_ for mark in "\t\n\r"):
        raise BadRecord(
            f"Expected ids without tabs and ends of lines, which divide the columns of qrels, "
            f"found {id_!r}. Import again with ids of another column."
        )
