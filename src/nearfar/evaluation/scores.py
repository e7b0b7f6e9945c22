"""What one system got for each query of a test set: all that a comparison or a gate needs.

scores.json          the system, its space, the data, how long a query took
per_query.parquet    a row a query: id, cluster, cohorts, values, the first hits
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.errors import BadFile, said
from nearfar.evaluation.cohorts import NONE
from nearfar.files import whole_folder

Floats = npt.NDArray[np.float64]

FORMAT = 1
HITS = 10  # kept of each query, for people to look at
_COHORT, _VALUE = "cohort.", "value."  # what the columns of the table begin with
_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One system on one test set, query by query.

    Args:
        system: what people call it: a folder, a hub id, "bm25", an address, the tag of a run.
        space: the choices of its `EmbeddingSpace`; None where it has none (BM25, a run file).
        dataset: digest of the data.
        split: whose judgments count.
        documents: how many could be found.
        negatives: digest of the pinned negatives behind the margin; empty where there is none.
        queries: ids, in the order of everything below.
        clusters: what each query hangs together with: those of one cluster are not independent.
        cohorts: of each field, the value of each query.
        values: of each metric, the value of each query; NaN is refused.
        hits: of each query the first documents that were found.
        costs: numbers of the system as a whole, such as `p95_seconds` and `usd_per_1000_queries`.
    """

    system: str
    space: Mapping[str, Any] | None
    dataset: str
    split: str
    documents: int
    negatives: str = ""
    queries: tuple[str, ...]
    clusters: tuple[str, ...]
    cohorts: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Floats]
    hits: tuple[tuple[str, ...], ...] = ()
    costs: Mapping[str, float] = field(default_factory=lambda: _NOTHING)


def write_scores(scores: Scores, folder: Path, *, replace: bool = False) -> None:
    """Write the folder, whole or not at all.

    Raises:
        BadFile: the folder is there, and is not to be replaced.
    """
    facts = {
        "format": FORMAT,
        "system": scores.system,
        "space": scores.space,
        "dataset": scores.dataset,
        "split": scores.split,
        "documents": scores.documents,
        "negatives": scores.negatives,
        "costs": dict(scores.costs),
    }
    columns: dict[str, Any] = {"query_id": list(scores.queries), "cluster": list(scores.clusters)}
    columns |= {f"{_COHORT}{name}": list(found) for name, found in scores.cohorts.items()}
    columns |= {f"{_VALUE}{name}": found for name, found in scores.values.items()}
    if scores.hits:
        columns["hits"] = [list(ids[:HITS]) for ids in scores.hits]
    with whole_folder(folder, replace=replace) as part:
        pq.write_table(pa.table(columns), part / "per_query.parquet", compression="zstd")
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        (part / "scores.json").write_text(text + "\n", encoding="utf-8")


def read_scores(folder: Path) -> Scores:
    """Read what `write_scores` has written.

    Values that are not numbers are read as they stand: whoever decides by them refuses them.

    Raises:
        BadFile: there is nothing of the kind, or it is damaged.
    """
    try:
        facts = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        if (found := facts.pop("format")) != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        table = pq.read_table(folder / "per_query.parquet")
        named = {name: table.column(name) for name in table.column_names}
        return Scores(
            **facts,
            queries=_names(named["query_id"], "query_id"),
            clusters=_names(named["cluster"], "cluster"),
            cohorts={name.removeprefix(_COHORT): tuple(map(_label, column.to_pylist()))
                     for name, column in named.items() if name.startswith(_COHORT)},
            values={name.removeprefix(_VALUE): _floats(column)
                    for name, column in named.items() if name.startswith(_VALUE)},
            hits=tuple(map(tuple, named["hits"].to_pylist())) if "hits" in named else (),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise BadFile(
            f"{folder}: expected the scores of a system ({said(error)}). Make them with "
            "`nearfar evaluate`."
        ) from error


def _names(column: pa.ChunkedArray, name: str) -> tuple[str, ...]:
    """Return the texts of a column that every row needs."""
    found = column.to_pylist()
    for row, value in enumerate(found, start=1):
        if not isinstance(value, str):
            raise ValueError(f"row {row:,} of per_query.parquet has the {name} {value!r}")
    return tuple(found)


def _label(value: object) -> str:
    """Return the value of a cohort as a text; a query without one is in a cohort of its own."""
    return NONE if value is None else str(value)


def _floats(column: pa.ChunkedArray) -> Floats:
    """Return numbers; what is missing is NaN."""
    values = [math.nan if value is None else float(value) for value in column.to_pylist()]
    return np.array(values, dtype=np.float64)
