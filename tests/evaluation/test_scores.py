"""Scores of a system on disk."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearfar.errors import BadFile
from nearfar.evaluation.scores import Scores, read_scores, write_scores

FOUND = Scores(
    system="models/a",
    space={"weights": "w"},
    dataset="d" * 16,
    split="test",
    documents=3,
    negatives="n",
    queries=("1", "ü"),
    clusters=("a", "a"),
    cohorts={"query.language": ("de", "en")},
    values={"ndcg_at_10_score": np.array([0.25, 1.0])},
    hits=(("x", "y"), ()),
    costs={"p95_seconds": 0.1},
)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write_scores(FOUND, tmp_path / "s")
    read = read_scores(tmp_path / "s")
    assert list(read.values) == list(FOUND.values)
    assert np.array_equal(read.values["ndcg_at_10_score"], FOUND.values["ndcg_at_10_score"])
    for name in ("system", "space", "dataset", "split", "documents", "negatives", "queries",
                 "clusters", "cohorts", "hits", "costs"):  # fmt: skip
        assert getattr(read, name) == getattr(FOUND, name)


def test_an_old_folder_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    write_scores(FOUND, tmp_path / "s")
    with pytest.raises(BadFile):
        write_scores(FOUND, tmp_path / "s")
    write_scores(FOUND, tmp_path / "s", replace=True)


def test_what_is_no_scores_is_refused_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="nearfar evaluate"):
        read_scores(tmp_path)
    write_scores(FOUND, tmp_path / "s")
    facts = json.loads((tmp_path / "s/scores.json").read_text())
    (tmp_path / "s/scores.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(BadFile, match="99"):
        read_scores(tmp_path / "s")
    (tmp_path / "s/scores.json").write_text(json.dumps(facts))
    (tmp_path / "s/per_query.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadFile, match="nearfar evaluate"):
        read_scores(tmp_path / "s")


def foreign(folder: Path, **columns: list[object]) -> Path:
    """Scores of which another program has written the table anew."""
    write_scores(FOUND, folder)
    table = pq.read_table(folder / "per_query.parquet")
    for name, values in columns.items():
        place = table.column_names.index(name.replace("__", "."))
        table = table.set_column(place, name.replace("__", "."), pa.array(values))
    pq.write_table(table, folder / "per_query.parquet")
    return folder


def test_a_query_without_a_value_of_a_cohort_is_in_the_cohort_none(tmp_path: Path) -> None:
    found = read_scores(foreign(tmp_path / "a", cohort__query__language=[None, "en"]))
    assert found.cohorts == {"query.language": ("none", "en")}
    assert read_scores(foreign(tmp_path / "b", cohort__query__language=[2024, None])).cohorts == {
        "query.language": ("2024", "none")
    }


def test_a_row_without_its_query_or_cluster_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"row 2 of per_query\.parquet has the query_id None"):
        read_scores(foreign(tmp_path / "a", query_id=["1", None]))
    with pytest.raises(BadFile, match=r"row 1 of per_query\.parquet has the cluster 7"):
        read_scores(foreign(tmp_path / "b", cluster=[7, 8]))
