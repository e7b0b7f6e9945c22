"""A shelf of LanceDB on disk: what LanceDB itself makes of it, and what is damaged or left over."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from lance_child import LAYOUT, written
from shelves import entry, named, unit_rows

from nearfar.errors import BadFile, BadSetting
from nearfar.stores.contract import Layout
from nearfar.stores.filters import Condition
from nearfar.stores.lance import LanceShelf

lancedb = pytest.importorskip("lancedb")


@pytest.fixture
def shelf(tmp_path: Path) -> LanceShelf:
    return LanceShelf(tmp_path / "shelf")


def test_lancedb_finds_the_same_in_the_same_folder(shelf: LanceShelf, tmp_path: Path) -> None:
    store = shelf.create("one", Layout(dim=8, fields={"year": "integer"}))
    put = [entry(f"{at:02}", row, fields={"year": at}) for at, row in enumerate(unit_rows(50, 8))]
    store.upsert(put)
    table = lancedb.connect(tmp_path / "shelf" / "one").open_table("documents")
    assert table.count_rows() == 50
    for query in unit_rows(5, 8, seed=1):
        search = table.search(query.numpy()).distance_type("cosine").where("f0 > 9", prefilter=True)
        expected = [row["id"] for row in search.select(["id", "_distance"]).limit(7).to_list()]
        where = (Condition("year", ">", (9,)),)
        assert named(store.nearest(query[None], 7, where=where)[0]) == expected
    found = table.search("text", query_type="fts").select(["id", "_score"]).limit(99).to_list()
    assert {row["id"] for row in found} == set(named(store.worded(["text"], 99)[0]))


def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: ModuleType | None = None
    monkeypatch.setitem(sys.modules, "lance", missing)  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match=r"pip install 'nearfar\[lance\]'"):
        LanceShelf(tmp_path)


def test_a_file_is_no_shelf(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="is a file"):
        LanceShelf(tmp_path / "file")
    with pytest.raises(BadFile, match="file"):
        LanceShelf(tmp_path / "file" / "below").create("one", LAYOUT)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"number": 1}'])
def test_a_damaged_layout_is_said(text: str, shelf: LanceShelf, tmp_path: Path) -> None:
    shelf.create("one", LAYOUT).close()
    (tmp_path / "shelf" / "one" / "layout.json").write_text(text)
    with pytest.raises(BadFile, match=r"one/layout\.json cannot be read.*from a copy"):
        shelf.open("one")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_damaged_choice_is_said(text: str, shelf: LanceShelf, tmp_path: Path) -> None:
    shelf.create("one", LAYOUT).close()
    (tmp_path / "shelf" / "live.json").write_text(text)
    for ask in (shelf.live, lambda: shelf.switch("one", None), lambda: shelf.drop("one")):
        with pytest.raises(BadFile, match=r"live\.json"):
            ask()


def test_what_killed_processes_left_is_removed(shelf: LanceShelf, tmp_path: Path) -> None:
    shelf.create("one", LAYOUT).close()
    for name in (".two.abc.part", ".one.def.part"):
        (tmp_path / "shelf" / name / "documents.lance").mkdir(parents=True)
    (tmp_path / "shelf" / ".live.json.ghi.part").write_text("{}")
    shelf.create("two", LAYOUT).close()
    assert shelf.versions() == ["one", "two"]
    left = {path.name for path in (tmp_path / "shelf").iterdir()}
    assert left == {"one", "two", "shelf.lock", "next-shelf.lock"}


def test_a_dropped_version_stays_for_its_readers_and_goes_with_the_last(
    shelf: LanceShelf, tmp_path: Path
) -> None:
    store, other = shelf.create("one", LAYOUT), shelf.open("one")
    store.upsert(written("a", 0))
    shelf.drop("one")
    assert shelf.versions() == []
    with pytest.raises(BadSetting, match="dropped and is still read"):
        shelf.create("one", LAYOUT)
    store.close()
    assert other.count() == 12
    assert len(other.fetch(["a-1", "a-2"])) == 2
    other.close()
    assert not (tmp_path / "shelf" / "one").exists()
    again = shelf.create("one", Layout(dim=3))
    assert (again.count(), shelf.versions()) == (0, ["one"])


def test_a_store_that_is_forgotten_lets_go(shelf: LanceShelf, tmp_path: Path) -> None:
    store = shelf.create("one", LAYOUT)
    del store
    shelf.drop("one")
    assert not (tmp_path / "shelf" / "one").exists()


def test_a_shelf_may_be_called_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = LanceShelf(Path("shelf")).create("one", LAYOUT)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.upsert(written("a", 0))
    assert store.count() == 12
    assert not list((tmp_path / "elsewhere").iterdir())
