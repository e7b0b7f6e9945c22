"""Any source becomes a dataset, the same one each time, or nothing at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from making import write_lines

from nearfar.data.columns import Columns
from nearfar.data.importing import ImportOptions, import_source
from nearfar.errors import BadFile, BadRecord
from nearfar.records import Judgment


def pairs(path: Path, count: int = 3, **more: Any) -> Path:
    rows = [{"query": f"q{i}", "answer": f"a{i}", **more} for i in range(count)]
    return write_lines(path, *rows)


def beir(folder: Path) -> Path:
    write_lines(folder / "corpus.jsonl", {"_id": "d", "text": "t"})
    write_lines(folder / "queries.jsonl", {"_id": "q", "text": "u"})
    write_lines(folder / "qrels/test.tsv", "q\td\t1")
    return folder


def test_the_kind_of_a_source_is_recognised(tmp_path: Path) -> None:
    options = ImportOptions()
    made = {
        "pairs": import_source(pairs(tmp_path / "a.jsonl"), tmp_path / "1", options),
        "beir": import_source(beir(tmp_path / "b"), tmp_path / "2", options),
        "python-docs": import_source("python-docs", tmp_path / "3", options),
    }
    assert {kind: summary.kind for kind, summary in made.items()} == {k: k for k in made}
    assert made["python-docs"].dataset.manifest["licence"] == "PSF-2.0"
    parents = [summary.dataset.manifest["parents"][0] for summary in made.values()]
    assert [parent["kind"] for parent in parents] == list(made)
    assert len(parents[0]["sha256"]) == len(parents[1]["sha256"]) == 64
    assert made["pairs"].sentences
    assert made["python-docs"].left_out


def test_the_same_source_again_changes_nothing(tmp_path: Path) -> None:
    source = pairs(tmp_path / "a.jsonl")
    first = import_source(source, tmp_path / "set", ImportOptions())
    before = {p.name: p.stat().st_mtime_ns for p in first.dataset.folder.iterdir()}
    again = import_source(source, tmp_path / "set", ImportOptions())
    assert (first.unchanged, again.unchanged) == (False, True)
    assert again.dataset.digest == first.dataset.digest
    assert {p.name: p.stat().st_mtime_ns for p in first.dataset.folder.iterdir()} == before
    assert {p.name for p in tmp_path.iterdir()} == {"a.jsonl", "set"}  # nothing is left behind


def test_a_different_dataset_is_replaced_only_if_asked(tmp_path: Path) -> None:
    first = import_source(pairs(tmp_path / "a.jsonl"), tmp_path / "set", ImportOptions())
    more = pairs(tmp_path / "a.jsonl", count=4)
    with pytest.raises(BadFile, match=r"another dataset stands there .3 documents.* 4 documents"):
        import_source(more, tmp_path / "set", ImportOptions())
    assert import_source(more, tmp_path / "set", ImportOptions(), replace=True).dataset.digest != (
        first.dataset.digest
    )
    assert {p.name for p in tmp_path.iterdir()} == {"a.jsonl", "set"}


def test_a_licence_that_was_corrected_is_taken_without_asking(tmp_path: Path) -> None:
    source = pairs(tmp_path / "a.jsonl")
    import_source(source, tmp_path / "set", ImportOptions())
    again = import_source(source, tmp_path / "set", ImportOptions(licence="CC0-1.0"))
    assert not again.unchanged
    assert again.dataset.manifest["licence"] == "CC0-1.0"


def test_a_dataset_of_an_older_version_is_replaced_if_asked(tmp_path: Path) -> None:
    source = pairs(tmp_path / "a.jsonl")
    first = import_source(source, tmp_path / "set", ImportOptions())
    manifest = tmp_path / "set" / "manifest.json"
    manifest.write_text(json.dumps(first.dataset.manifest | {"format": 1}))
    with pytest.raises(BadFile, match=r"another version of nearfar stands there.*--replace"):
        import_source(source, tmp_path / "set", ImportOptions())
    again = import_source(source, tmp_path / "set", ImportOptions(), replace=True)
    assert (again.unchanged, again.dataset.digest) == (False, first.dataset.digest)


def test_trouble_with_reading_is_not_told_as_trouble_with_writing(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"xxx: cannot be read .*File name too long"):
        import_source("x" * 300, tmp_path / "set", ImportOptions())


@pytest.mark.parametrize("name", ["diary.txt", "manifest.json"])
def test_what_is_no_dataset_is_never_replaced(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / name).write_text('{"name": "a web page"}')
    with pytest.raises(BadFile, match="expected a dataset to replace"):
        import_source(pairs(tmp_path / "a.jsonl"), home, ImportOptions(), replace=True)
    assert (home / name).read_text() == '{"name": "a web page"}'


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    summary = import_source(pairs(tmp_path / "a.jsonl"), tmp_path / "set", ImportOptions())
    assert summary.dataset.count("queries") == 3


def test_a_source_that_fails_half_way_leaves_the_old_dataset_whole(tmp_path: Path) -> None:
    source = pairs(tmp_path / "a.jsonl")
    first = import_source(source, tmp_path / "set", ImportOptions())
    with source.open("a") as file:
        file.write('{"query": "q", "answer": ""}\n')
    with pytest.raises(BadRecord, match=r"a\.jsonl:4"):
        import_source(source, tmp_path / "set", ImportOptions(), replace=True)
    assert len(list(first.dataset.queries())) == 3
    assert {p.name for p in tmp_path.iterdir()} == {"a.jsonl", "set"}


def test_options_reach_the_reader(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {"x": "q", "y": "a", "grade": "high"})
    columns = Columns(query="x", document="y", grade="")
    options = ImportOptions(columns=columns, origin_kind="click")
    summary = import_source(str(source), tmp_path / "set", options)
    judged = list(summary.dataset.judgments())
    assert [j.origin.kind for j in judged] == ["click"]
    assert [j.grade for j in judged if isinstance(j, Judgment)] == [1.0]


@pytest.mark.parametrize("name", ["none.jsonl", "none"])
def test_a_source_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFile, match=f"{name}: no such file"):
        import_source(tmp_path / name, tmp_path / "set", ImportOptions())


def test_a_folder_of_something_else_is_answered_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    with pytest.raises(BadFile, match=r"not a kind of folder that is read.*BEIR"):
        import_source(tmp_path / "docs", tmp_path / "set", ImportOptions())


def test_a_dataset_is_not_imported_again(tmp_path: Path) -> None:
    import_source(pairs(tmp_path / "a.jsonl"), tmp_path / "set", ImportOptions())
    with pytest.raises(BadFile, match="this is a dataset already"):
        import_source(tmp_path / "set", tmp_path / "other", ImportOptions())


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    import_source(
        pairs(tmp_path / "a.jsonl", count=700),
        tmp_path / "set",
        ImportOptions(),
        progress=lambda what, done, total, note="": told.append((done, total)),
    )
    assert told == [(1000, None), (2000, None), (2100, 2100)]
