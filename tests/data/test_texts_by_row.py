"""Texts picked by row are those of a plain list, and no other text is copied for them."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.data.dataset import Dataset, Table
from nearfar.data.texts_by_row import Texts
from nearfar.errors import BadFile

SIZES = (3, 1, 0, 4, 200)
LONG = 10_000  # letters of each text


class Pieces(Dataset):
    """A table whose pieces have these sizes; only that matters here."""

    def __init__(self) -> None: ...

    def batches(self, table: Table, columns: object = None) -> Iterator[pa.RecordBatch]:
        rows = iter(CONTENTS)
        for size in SIZES:
            texts = pa.array([next(rows) for _ in range(size)], pa.string())
            yield pa.RecordBatch.from_arrays([texts], names=["content"])


CONTENTS = [f"{row}é" * (LONG if row >= 8 else 1) for row in range(sum(SIZES))]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    return Texts(Pieces(), "documents", tmp_path_factory.mktemp("texts"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, sum(SIZES) - 1), max_size=12))
def test_any_rows_are_picked_in_the_order_asked(texts: Texts, rows: list[int]) -> None:
    assert texts[rows] == [CONTENTS[row] for row in rows]


def test_picking_a_few_copies_a_few(texts: Texts) -> None:
    assert len(texts) == len(CONTENTS)
    assert texts.path.stat().st_size > 4_000_000
    usual = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counting)
    try:
        assert texts[[0, 3, 7]] == [CONTENTS[0], CONTENTS[3], CONTENTS[7]]
    finally:
        pa.set_memory_pool(usual)
    assert 0 < counting.max_memory() < 100_000


@pytest.mark.parametrize("rows", [[-1], [len(CONTENTS)], [0, 1_000]])
def test_a_row_that_is_not_there_is_refused(rows: list[int], texts: Texts) -> None:
    with pytest.raises(IndexError, match="rows must be 0 to 207"):
        texts[rows]


def test_a_name_keeps_the_file_for_the_next_time(tmp_path: Path) -> None:
    first = Texts(Pieces(), "documents", tmp_path, named="these")
    before = first.path.stat().st_mtime_ns
    assert Texts(Pieces(), "documents", tmp_path, named="these")[[8]] == first[[8]]
    assert first.path.stat().st_mtime_ns == before
    assert Texts(Pieces(), "documents", tmp_path, named="others").path != first.path
    assert Texts(Pieces(), "queries", tmp_path, named="these").path != first.path


def test_a_damaged_file_is_one_message(tmp_path: Path) -> None:
    path = Texts(Pieces(), "documents", tmp_path).path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadFile, match=r"documents\.arrow: .*Remove the file"):
        Texts(Pieces(), "documents", tmp_path)
