"""What is forgotten is in no file any more, whenever the work was cut short; all else stays."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from doubles import LetterEncoder
from traced import GONE, KEPT, USER, make_workspace, only

from nearfar.data.dataset import Dataset
from nearfar.data.importing import ImportOptions, import_source
from nearfar.data.writer import write_dataset
from nearfar.lineage.forgetting import Forgotten, forget, plan_forgetting
from nearfar.lineage.holdings import find_holdings
from nearfar.lineage.matching import wanted
from nearfar.lineage.tombstones import returned
from nearfar.lineage.workspace import scan
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.search.index import build_index, open_index


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("made"))


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work", symlinks=True))


@pytest.fixture(scope="module")
def forgotten(made: Path) -> tuple[Path, Forgotten]:
    work = Path(shutil.copytree(made, made.parent / "forgotten", symlinks=True))
    checkpoint = only(work, "runs/tiny/train-*") / "checkpoint-00000002"
    checkpoint.mkdir()
    (checkpoint / "weights.safetensors").write_bytes(b"learned")
    return work, forget(work, wanted([USER]))


def state(work: Path) -> dict[str, str]:
    """Return the bytes of every file, by hash."""
    return {
        str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(work.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def everything(work: Path) -> dict[str, str]:
    """Return what every file says, Parquet and archives opened: a second opinion."""
    said = {}
    for path in work.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.name == "tokenizer.json":
            continue
        if path.suffix == ".parquet":
            said[str(path)] = json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False)
        elif path.suffix == ".json":
            said[str(path)] = json.dumps(json.loads(path.read_text()), ensure_ascii=False)
        else:
            said[str(path)] = path.read_bytes().decode("latin-1")
    return said


def digests(work: Path) -> dict[str, str]:
    found = scan(work)
    return {str(d.folder.relative_to(work)): d.digest for d in found.datasets} | {
        str(i.folder.relative_to(work)): hashlib.sha256(
            (i.folder / "vectors.safetensors").read_bytes()
        ).hexdigest()
        for i in found.indexes
    }


# -- what goes, and what stays ------------------------------------------------------------------


def test_a_dry_run_tells_and_touches_nothing(work: Path) -> None:
    before = state(work)
    plan = plan_forgetting(work, wanted([USER]))
    assert {len(held.queries) for held in plan.holdings.datasets} == {len(GONE)}
    assert state(work) == before


def test_no_file_says_id_or_text_any_more(forgotten: tuple[Path, Forgotten]) -> None:
    work, done = forgotten
    for path, said in everything(work).items():
        for one in GONE:
            for text in one.values():
                assert text not in said, path
                assert json.dumps(text)[1:-1] not in said, path
    assert done.proof.holding == []
    assert done.proof.closed == []
    assert done.proof.files > 20


def test_the_other_rows_stay_as_they_were(forgotten: tuple[Path, Forgotten], made: Path) -> None:
    work, _ = forgotten
    for place in ("data", str(only(made, "runs/tiny/mine-*/dataset").relative_to(made))):
        before, after = Dataset.open(made / place), Dataset.open(work / place)
        texts = {one[name] for one in KEPT for name in ("query", "document")}
        assert {d.content for d in (*after.documents(), *after.queries())} == texts
        ids = {text.id for text in (*after.documents(), *after.queries())}
        kept = [j for j in before.judgments() if {j.query_id, j.document_id} <= ids]
        assert list(after.judgments()) == kept
        assert [d for d in before.documents() if d.id in ids] == list(after.documents())
        assert after.manifest["licence"] == "CC0-1.0"


def test_the_manifest_says_what_happened_by_hash_alone(
    forgotten: tuple[Path, Forgotten], made: Path
) -> None:
    work, _ = forgotten
    first, last = Dataset.open(work / "data").manifest["parents"]
    assert first == Dataset.open(made / "data").manifest["parents"][0]
    assert last["kind"] == "forgotten"
    assert last["digest"] == Dataset.open(made / "data").digest
    assert last["removed"]["queries"] == len(GONE)
    assert last["request"] == wanted([USER]).request


def test_an_index_loses_the_documents_and_keeps_the_other_vectors(
    forgotten: tuple[Path, Forgotten], made: Path
) -> None:
    work, _ = forgotten
    for place in ("index", str(only(made, "runs/tiny/index-*/index").relative_to(made))):
        before, after = open_index(made / place), open_index(work / place)
        assert len(after) == len(before) - len(GONE) == len(KEPT)
        old = before.documents.fetch(range(len(before)))
        rows = {document.id: before.vectors[number] for number, document in old.items()}
        for number, document in after.documents.fetch(range(len(after))).items():
            assert (after.vectors[number] == rows[document.id]).all()
        assert after.space == before.space


def test_a_large_index_keeps_each_vector_with_its_document(
    tmp_path: Path, encoder: LetterEncoder
) -> None:
    with write_dataset(tmp_path / "d", licence="x", parents=[]) as writer:
        for i in range(2_100):  # more than are copied at once
            writer.add(Document(id=f"d{i}", content=f"{i:b}".replace("0", "a").replace("1", "b")))
        writer.add(Query(id="q", content="a question"))
        for i in (7, 8):
            writer.add(Judgment(query_id="q", document_id=f"d{i}", grade=1,
                                origin=Origin(kind="human", source="s:1")))  # fmt: skip
    build_index(encoder, Dataset.open(tmp_path / "d"), tmp_path / "index")
    forget(tmp_path, wanted(["d7"]))
    index = open_index(tmp_path / "index")
    left = index.documents.fetch(range(len(index)))
    assert [document.id for document in left.values()] == [f"d{i}" for i in range(2_100) if i != 7]
    again = encoder.encode([document.content for document in left.values()], "document")
    assert (index.vectors - again).abs().max() < 1e-6


def test_what_was_learned_goes_and_the_model_is_named_with_its_command(
    forgotten: tuple[Path, Forgotten],
) -> None:
    work, done = forgotten
    home = only(work, "runs/tiny/train-*")
    assert sorted(path.name for path in home.iterdir()) == ["log.jsonl", "model", "stage.json"]
    (model,) = done.plan.retrain
    assert model.folder == home / "model"
    assert model.command == f"nearfar run {work / 'tiny.toml'}"
    assert model.indexes == (only(work, "runs/tiny/index-*/index"),)
    report = only(work, "runs/tiny/evaluate-*")
    assert sorted(path.name for path in report.iterdir()) == [
        "base-scores", "per_query.parquet", "report.json", "scores", "stage.json",
    ]  # fmt: skip


def test_afterwards_nothing_holds_it_and_the_model_is_still_named(
    forgotten: tuple[Path, Forgotten],
) -> None:
    work, _ = forgotten
    found = find_holdings(scan(work), wanted([USER]))
    assert not found
    assert [one.how for one in found.models] == ["learned from it before it was forgotten"]
    again = forget(work, wanted([USER]))
    assert again.proof.holding == []
    assert len(again.plan.retrain) == 1


def test_a_text_that_comes_back_is_known(
    forgotten: tuple[Path, Forgotten], made: Path, tmp_path: Path
) -> None:
    work, _ = forgotten
    assert returned(Dataset.open(work / "data"), work) == 0
    again = import_source(made.parent / "pairs.jsonl", tmp_path / "again", ImportOptions())
    assert returned(again.dataset, work) == 2 * len(GONE)
    assert returned(again.dataset, made) == 0
    assert "user" not in (work / "forgotten.json").read_text()


# -- cut short ----------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of a process between two folders."""


@pytest.mark.parametrize("step", [1, 4, 5, 7])  # after tokens, indexes, one and two datasets
def test_cut_short_between_two_folders_a_second_call_ends_the_same(
    step: int, forgotten: tuple[Path, Forgotten], work: Path
) -> None:
    seen: list[str] = []

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        if what.startswith("forget:"):
            seen.append(what)
            if len(seen) == step + 1:
                raise Killed

    with pytest.raises(Killed):
        forget(work, wanted([USER]), progress=progress)
    assert plan_forgetting(work, wanted([USER])).unfinished
    done = forget(work, wanted([USER]))
    assert digests(work) == digests(forgotten[0])
    assert done.proof.holding == []
    assert len(done.plan.retrain) == 1
    assert not plan_forgetting(work, wanted([USER])).unfinished


def test_killed_while_a_folder_takes_its_name_nothing_is_lost(
    forgotten: tuple[Path, Forgotten], work: Path
) -> None:
    old = work / ".data.abcd1234.old"
    old.mkdir()
    (work / "data").rename(old / "data")  # the old one had stepped aside
    (work / ".data.efgh5678.part").mkdir()  # and the new one has no name yet
    (work / ".data.efgh5678.part" / "documents.parquet").write_text(GONE[0]["document"])
    assert len(plan_forgetting(work, wanted([USER])).left_behind) == 2
    done = forget(work, wanted([USER]))
    assert digests(work) == digests(forgotten[0])
    assert done.proof.holding == []
    assert not list(work.rglob(".*"))


def test_a_twin_in_a_later_dataset_is_found_by_its_hash_after_a_kill(tmp_path: Path) -> None:
    for name, id_ in (("a", "x1"), ("b", "other")):
        with write_dataset(tmp_path / name, licence="x", parents=[]) as writer:
            for one, text in ((id_, "the very same text"), ("rest", "another text")):
                writer.add(Document(id=one, content=text))
            writer.add(Query(id="q", content="a question"))
            for one in (id_, "rest"):
                writer.add(Judgment(query_id="q", document_id=one, grade=1,
                                    origin=Origin(kind="human", source="s:1")))  # fmt: skip

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        if what == "forget: b":
            raise Killed

    with pytest.raises(Killed):
        forget(tmp_path, wanted(["x1"]), progress=progress)
    assert {d.id for d in Dataset.open(tmp_path / "b").documents()} == {"other", "rest"}
    forget(tmp_path, wanted(["x1"]))
    for name in ("a", "b"):
        assert {d.id for d in Dataset.open(tmp_path / name).documents()} == {"rest"}
