"""A process that is killed has kept its scores, and its successor scores the rest alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from school import judgments

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query

HERE = Path(__file__).parent


def run(*arguments: object, fails: bool) -> None:
    paths = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_teaching.py"), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths}, check=False, timeout=1_800,
    )  # fmt: skip
    assert done.returncode == (-9 if fails else 0)


def classroom(folder: Path, queries: int, documents: int) -> Dataset:
    """Write queries with so many judged documents each, one of them the answer."""
    origins = [Origin(kind="mined", source="t:1"), Origin(kind="click", source="t:1")]
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(documents * 3):
            writer.add_document(Document(id=f"d{i}", content=f"document {i}"))
        for i in range(queries):
            writer.add_query(Query(id=f"q{i}", content=f"query {i}"))
            for k in range(documents):
                place = (i + k) % (documents * 3)
                writer.add_judgment(
                    Judgment(query_id=f"q{i}", document_id=f"d{place}", grade=float(k == 0),
                             origin=origins[k == 0], split="train")
                )  # fmt: skip
    return Dataset.open(folder)


def lines(path: Path) -> Iterator[str]:
    with path.open() as file:
        yield from file


def check(tmp_path: Path, queries: int, documents: int, kill_after: int, block: int) -> None:
    data = classroom(tmp_path / "data", queries, documents)
    log = tmp_path / "log"
    run(data.folder, tmp_path / "new", log, kill_after, block, fails=True)
    assert not (tmp_path / "new").exists()
    first = sum(1 for _ in lines(log))
    assert kill_after * 0.8 < first <= kill_after
    run(data.folder, tmp_path / "new", log, -1, block, fails=False)
    total = sum(1 for _ in lines(log))
    assert total == len(set(lines(log))) == queries * documents  # each pair once, by either
    file = tmp_path / "new.scores" / f"scores-{'a' * 16}.bin"
    assert file.stat().st_size == 36 + 20 * total


def test_nothing_is_scored_twice_after_a_kill(tmp_path: Path) -> None:
    check(tmp_path, queries=60, documents=20, kill_after=700, block=50)
    assert all(one.score is not None for one in judgments(tmp_path / "new").values())


@pytest.mark.slow
def test_a_million_scores_are_killed_in_the_middle_and_none_is_computed_twice(
    tmp_path: Path,
) -> None:
    check(tmp_path, queries=10_000, documents=100, kill_after=500_000, block=2_048)
