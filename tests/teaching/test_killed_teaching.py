"""A process that is killed has kept its scores but for a block, and its successor goes on."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from school import judgments

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query

HERE = Path(__file__).parent


def run(*arguments: object, kill_after: int | None) -> None:
    """Run it; kill it some milliseconds or none after it has said that so many are scored."""
    paths = os.pathsep.join([str(HERE), *sys.path])
    with subprocess.Popen(
        [sys.executable, str(HERE / "killed_teaching.py"), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        done = 0
        for line in process.stdout:
            done += int(line.split()[0])
            if kill_after is not None and done >= kill_after:
                moment = time.perf_counter() + random.random() / 200  # a block takes about so long
                while time.perf_counter() < moment:
                    pass
                process.kill()  # no handler, no farewell
                break
    assert process.returncode == (0 if kill_after is None else -9)


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
    """Yield the pairs of a log, but for one that was being written."""
    with path.open() as file:
        yield from (line for line in file if line.endswith("\n"))


def check(tmp_path: Path, queries: int, documents: int, block: int) -> None:
    data = classroom(tmp_path / "data", queries, documents)
    pairs = queries * documents
    kill_after = random.randrange(block, pairs * 9 // 10)
    first, second = tmp_path / "first", tmp_path / "second"
    run(data.folder, tmp_path / "new", first, block, kill_after=kill_after)
    assert not (tmp_path / "new").exists()
    run(data.folder, tmp_path / "new", second, block, kill_after=None)
    before, after = (list(lines(path)) for path in (first, second))
    assert len(before) == len(set(before)) >= kill_after
    assert len(after) == len(set(after)) < pairs
    again = len(set(before) & set(after))
    assert again <= block, f"{again} pairs scored again after a kill at {kill_after}"
    assert len(set(before) | set(after)) == pairs
    file = tmp_path / "new.scores" / f"scores-{'a' * 16}.bin"
    assert file.stat().st_size == 36 + 20 * pairs  # each pair once


def test_a_kill_at_any_moment_costs_at_most_a_block(tmp_path: Path) -> None:
    check(tmp_path, queries=60, documents=20, block=50)
    assert all(one.score is not None for one in judgments(tmp_path / "new").values())


@pytest.mark.slow
def test_of_a_million_scores_a_kill_costs_at_most_a_block(tmp_path: Path) -> None:
    check(tmp_path, queries=10_000, documents=100, block=2_048)
