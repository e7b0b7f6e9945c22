"""Texts pass through and are not kept: memory grows with ids, never with what they name."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from making import document, judgment, query

from nearfar.data.check import check_dataset
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write(folder: Path, rows: int, characters: int) -> None:
    filling = "x" * characters
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for number in range(rows):
            writer.add(document(f"d{number}", f"{number} {filling}"))
            writer.add(query(f"q{number}"))
            writer.add(judgment(f"q{number}", f"d{number}"))


def check(folder: Path) -> None:
    check_dataset(Dataset.open(folder), count_tokens=None, max_tokens=None, cohorts=None)


def test_long_texts_take_no_more_memory_than_short_ones(tmp_path: Path) -> None:
    rows, longer = 3_000, 20_000  # 60 MB of text
    short = peak_bytes(lambda: write(tmp_path / "short", rows, 10))
    long = peak_bytes(lambda: write(tmp_path / "long", rows, longer))
    assert long - short < rows * longer / 2
    short = peak_bytes(lambda: check(tmp_path / "short"))
    long = peak_bytes(lambda: check(tmp_path / "long"))
    assert long - short < rows * longer / 2


@pytest.mark.slow
def test_two_hundred_thousand_rows_take_less_than_a_kilobyte_each(tmp_path: Path) -> None:
    rows = 200_000  # of documents, of queries and of judgments
    assert peak_bytes(lambda: write(tmp_path / "set", rows, 500)) < rows * 1_000
    assert peak_bytes(lambda: check(tmp_path / "set")) < rows * 600
