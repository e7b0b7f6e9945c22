"""TREC qrels: what was judged, as lines of `query 0 document grade`."""

import math
from collections.abc import Mapping
from pathlib import Path

from nearfar.data.grades import whole_grade
from nearfar.data.lines import numbered_lines
from nearfar.errors import BadFile, BadRecord
from nearfar.evaluation.runs import columns_of, open_for_writing, require_word
from nearfar.files import whole_file

_AS_WRITTEN = "`query 0 document grade`, divided by spaces or tabs"


def read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """Return of each query what its documents are worth, from a plain or gzipped file.

    Raises:
        BadFile: the file is missing, empty, not UTF-8, or its gzip is damaged.
        BadRecord: a line has not four columns, its grade is no number, or it judges a document
            a second time.
    """
    judged: dict[str, dict[str, float]] = {}
    for number, line in numbered_lines(path):
        parts = columns_of(line)
        if not parts:
            continue
        where = f"{path}:{number}"
        if len(parts) != 4:
            raise BadRecord(
                f"{where}: expected four columns, {_AS_WRITTEN}, found {len(parts)}: "
                f"{line.strip()[:80]!r}. An id may hold no space; correct the line."
            )
        query, _, document, said = parts
        grades = judged.setdefault(query, {})
        if document in grades:
            raise BadRecord(
                f"{where}: expected each document once a query, found {document!r} a second time "
                f"for query {query!r}. Remove one of the lines."
            )
        grades[document] = _grade(said, where)
    if not judged:
        raise BadFile(f"{path}: only blank lines. Expected {_AS_WRITTEN}.")
    return judged


def write_qrels(path: Path, judged: Mapping[str, Mapping[str, float]]) -> None:
    """Write judgments as qrels, whole or not at all; gzipped if the name ends in .gz.

    Grades are whole numbers there: they are rounded as the metrics round them, an answer to no
    less than 1. What is called neither (NaN) is left out, as if nobody had judged it.

    Raises:
        BadRecord: an id is empty or holds a space, which the format cannot say.
    """
    with whole_file(path) as part, open_for_writing(part, packed=path.suffix == ".gz") as file:
        for query, grades in judged.items():
            require_word("query", query)
            for document, grade in grades.items():
                if not math.isnan(grade):
                    require_word("document", document)
                    file.write(f"{query} 0 {document} {whole_grade(grade)}\n")


def _grade(said: str, where: str) -> float:
    try:
        grade = float(said)
    except ValueError:
        grade = math.nan
    if not math.isfinite(grade):
        raise BadRecord(
            f"{where}: expected a number as the grade, found {said!r}. Lines are {_AS_WRITTEN}."
        )
    return grade
