"""Scores of a system on disk."""

import json
from pathlib import Path

import numpy as np
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
