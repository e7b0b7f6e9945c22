"""Forgetting leaves no copy behind, touches nothing that is not its own, and proves no more."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from doubles import LetterEncoder
from typer.testing import CliRunner

from nearfar.cli.forget import forget as command
from nearfar.data.dataset import Dataset
from nearfar.data.texts_by_row import Texts
from nearfar.data.writer import write_dataset
from nearfar.lineage.forgetting import forget, plan_forgetting
from nearfar.lineage.holdings import find_holdings
from nearfar.lineage.matching import wanted
from nearfar.lineage.needles import Needles
from nearfar.lineage.workspace import scan
from nearfar.llm.journal import Paid, open_journal
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.search.index import build_index, open_index

SECRET = 'the garden of\nMrs "Jones"  is   behind the mill'
BY_HAND = Origin(kind="human", source="s.csv:4", by="anna")


def small(folder: Path, parents: list[dict[str, Any]] | None = None, *, rows: int = 2) -> Path:
    """Write a dataset whose first document is the secret and whose first query is q1."""
    with write_dataset(folder, licence="x", parents=parents or []) as writer:
        for number in range(1, rows + 1):
            text = SECRET if number == 1 else f"an open field of number {number}"
            writer.add(Document(id=f"place-{number}", content=text))
            writer.add(Query(id=f"q{number}", content=f"where lies the number {number}?"))
            writer.add(Judgment(query_id=f"q{number}", document_id=f"place-{number}", grade=1,
                                origin=BY_HAND))  # fmt: skip
    return folder


def answer(**changes: Any) -> Paid:
    said = {"key": "ab" * 8, "text": f"[{SECRET[:20]!r}]", "stop": "end", "input_tokens": 1,
            "output_tokens": 1, "counted": True, "cost_usd": 0.1, "max_tokens": 9,
            "model": "llm-x", "at": "2026-01-01T00:00:00+00:00"}  # fmt: skip
    return Paid(**(said | changes))


def said_by(root: Path) -> bytes:
    """Return the bytes of every file."""
    return b"\0".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def typed(*words: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


# -- copies ---------------------------------------------------------------------------------------


def test_the_texts_that_a_miner_keeps_go_with_its_vectors(tmp_path: Path) -> None:
    dataset = Dataset.open(small(tmp_path / "d", rows=3))
    (tmp_path / "cache").mkdir()
    Texts(dataset, "documents", tmp_path / "cache", named=dataset.digest)
    assert SECRET.encode() in said_by(tmp_path / "cache")
    assert len(plan_forgetting(tmp_path, wanted(["place-1"])).kept) == 1
    assert forget(tmp_path, wanted(["place-1"])).proof.holding == []
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("asked", ["place-1", "q1"])
def test_paid_answers_go_wherever_they_are_kept(tmp_path: Path, asked: str) -> None:
    small(tmp_path / "d", rows=3)
    for name in ("limited.answers.jsonl", "elsewhere.jsonl"):  # of no dataset that came of it
        with open_journal(tmp_path / name) as journal:
            journal.add(answer())
    text = (tmp_path / "elsewhere.jsonl").read_text()
    (tmp_path / "edited.jsonl").write_text(text.rstrip("\n"))
    (tmp_path / "cut.answers.jsonl").write_bytes(b'{"key": "abab')  # by a kill
    (tmp_path / "own.answers.jsonl").write_text('{"key": "of a house", "text": "a user\'s own"}\n')
    (tmp_path / "rows.jsonl").write_text('{"key": 7}\n')
    assert len(plan_forgetting(tmp_path, wanted([asked])).answers) == 4
    _, said = typed(asked, "--workspace", tmp_path)
    assert f"paid for {tmp_path / 'elsewhere.jsonl'}: goes" in said
    forget(tmp_path, wanted([asked]))
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {"own.answers.jsonl", "rows.jsonl"}


def test_paid_answers_stay_while_every_text_stays(tmp_path: Path) -> None:
    small(tmp_path / "d", rows=3)
    with open_journal(tmp_path / "d.answers.jsonl") as journal:
        journal.add(answer())
    forget(tmp_path, wanted(["nobody"]))
    assert (tmp_path / "d.answers.jsonl").exists()


# -- what could not be opened ---------------------------------------------------------------------


def damage(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("changes", [{"format": 99}, {"rows": {}}, None])
def test_a_dataset_that_cannot_be_opened_is_no_proof(
    tmp_path: Path, changes: dict[str, Any] | None
) -> None:
    folder = small(tmp_path / "d", rows=3)
    if changes is None:
        (folder / "manifest.json").write_text("{")
    else:
        damage(folder, **changes)
    (line,) = find_holdings(scan(tmp_path), wanted(["q1"])).unreadable
    assert str(folder) in line
    code, said = typed("q1", "--workspace", tmp_path, "--yes")
    assert code == 5
    assert "queries.parquet (id)" in said
    assert "Could not be looked into" in said
    assert "Neither the ids" not in said


def test_a_dataset_whose_table_is_damaged_is_no_proof_for_its_other_tables(tmp_path: Path) -> None:
    folder = small(tmp_path / "d", rows=3)
    (folder / "documents.parquet").write_bytes(b"PAR1")
    proof = forget(tmp_path, wanted(["q1"])).proof
    assert {line.split(" (")[0] for line in proof.holding} == {
        str(folder / "queries.parquet"), str(folder / "judgments.parquet"),
    }  # fmt: skip
    assert [line for line in proof.closed if "documents.parquet" in line]


def test_however_deep_a_dataset_stands_it_is_forgotten_in(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefghijkl")
    small(deep / "d", rows=3)
    assert find_holdings(scan(tmp_path), wanted(["q1"])).unreadable  # lineage does not go there
    proof = forget(tmp_path, wanted(["q1"])).proof
    assert proof.holding == proof.closed == []
    assert {query.id for query in Dataset.open(deep / "d").queries()} == {"q2", "q3"}


# -- what is not its own --------------------------------------------------------------------------


def test_what_lies_behind_a_link_out_of_the_workspace_is_not_touched(tmp_path: Path) -> None:
    work, other = tmp_path / "work", small(tmp_path / "other" / "d", rows=3)
    small(work / "d", rows=3)
    (work / "again").symlink_to(work / "d")
    (work / "link").symlink_to(tmp_path / "other")
    (work / "up").symlink_to("..")
    (work / "itself").symlink_to("itself")
    before = said_by(other)
    proof = forget(work, wanted(["q1"])).proof
    assert said_by(other) == before
    assert proof.holding == []
    assert sorted(line for line in proof.closed if "not followed" in line) == [
        f"{work / name}: a link out of the workspace, not followed" for name in ("link", "up")
    ]
    assert [one.dataset.folder for one in find_holdings(scan(work), wanted(["q2"])).datasets] == [
        work / "d"
    ]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_strangers_files_and_runs_within_a_dataset_stay_and_are_named(
    tmp_path: Path, rows: int
) -> None:
    folder = small(tmp_path / "d", rows=rows)
    weights = folder / "runs" / "first" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"\0" * 64)
    (weights.parent / "latest").symlink_to("weights.safetensors")
    (weights.parent / "log.txt").write_text(f"saw {SECRET}")
    (folder / "sheet.csv").write_text('1,"where lies the number 1?"\n')
    (folder / "gone").symlink_to("nowhere")
    (folder / "rejects.jsonl").write_text(json.dumps({"row": {"text": SECRET}}) + "\n")
    proof = forget(tmp_path, wanted(["place-1", "q1"])).proof
    left = {"runs", "sheet.csv", "gone"}
    tables = {"documents.parquet", "queries.parquet", "judgments.parquet", "manifest.json"}
    assert {path.name for path in folder.iterdir()} == left | (tables if rows > 1 else set())
    assert weights.read_bytes() == b"\0" * 64
    assert (weights.parent / "latest").readlink() == Path("weights.safetensors")
    assert {Path(line).name for line in proof.holding} == {"log.txt", "sheet.csv"}


def test_rejects_that_hold_nothing_of_it_stay(tmp_path: Path) -> None:
    folder = small(tmp_path / "d", rows=3)
    (folder / "rejects.jsonl").write_text('{"row": 7}\n')
    forget(tmp_path, wanted(["q1"]))
    assert (folder / "rejects.jsonl").exists()


@pytest.mark.parametrize("rows", [1, 3])
def test_a_strangers_file_beside_an_index_stays(
    tmp_path: Path, rows: int, encoder: LetterEncoder
) -> None:
    build_index(encoder, Dataset.open(small(tmp_path / "d", rows=rows)), tmp_path / "index")
    (tmp_path / "index" / "README.md").write_text("by hand")
    assert forget(tmp_path, wanted(["place-1"])).proof.holding == []
    assert (tmp_path / "index" / "README.md").read_text() == "by hand"
    assert (tmp_path / "index" / "index.json").exists() == (rows > 1)
    assert rows == 1 or len(open_index(tmp_path / "index")) == rows - 1


def test_a_workspace_that_is_itself_a_dataset_is_forgotten_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small(tmp_path / "d", rows=3))
    forget(Path(), wanted(["q1"]))
    assert {query.id for query in Dataset.open(tmp_path / "d").queries()} == {"q2", "q3"}
    assert (tmp_path / "d" / "forgotten.json").exists()


# -- the proof ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("folded.txt", f"Such as: {' '.join(SECRET.split())}."),
        ("rows.csv", '1,"{}"\n'.format(SECRET.replace('"', '""'))),
        ("page.html", SECRET.replace('"', "&#34;")),
        ("keys.json", json.dumps({"scores": {"place-1": 0.5}})),
        ("texts.json", json.dumps([{SECRET: 1}])),
        ("long.jsonl", json.dumps({"prompt": f"Such as: {' '.join(SECRET.split())}."})),
        ("log.txt", "17:30 saw place-1"),
        ("log.jsonl", "17:30 saw place-1\n"),
    ],
)
def test_the_proof_finds_it_however_it_is_written(tmp_path: Path, name: str, content: str) -> None:
    small(tmp_path / "d", rows=3)
    (tmp_path / name).write_text(content)
    (tmp_path / "fields.json").write_text('{"place": {"document": "place-11"}}')
    (tmp_path / "other.log").write_text("place-11, replace-1, place-1st")
    proof = forget(tmp_path, wanted(["place-1"])).proof
    assert [Path(line).name.split(":")[0] for line in proof.holding + proof.within] == [name]


@pytest.mark.parametrize("size", [1, 3, 7, 8, 64, 300, 4_000])
def test_an_id_is_found_alone_wherever_blocks_are_cut(size: int) -> None:
    needles = Needles([], ids=["ab-123", "ab-4567", "x" * 300])
    for hay, expected in (
        ("ab-123", True), ("-ab-123.", True), ("ab-1234", False), ("cab-123", False),
        ("\\nab-123", True), ("%20ab-123", True), ("20ab-123", False), ("y ab-4567", True),
        ("x" * 300, True), ("x" * 255, False), ("", False), ("ab-12", False),
    ):  # fmt: skip
        for before in ("", " " * 255):
            data = (before + hay).encode()
            blocks = [data[start : start + size] for start in range(0, len(data), size)]
            assert needles.found_in(blocks) == expected, (before, hay)


def test_examples_in_prompts_are_blotted_out_though_they_are_folded(tmp_path: Path) -> None:
    listed = json.dumps(" ".join(SECRET.split()), ensure_ascii=False)
    small(tmp_path / "d", [{"kind": "prompt", "path": "ab", "text": f"As: {listed}"}], rows=3)
    proof = forget(tmp_path, wanted(["place-1"])).proof
    assert proof.within == proof.holding == []
    assert "Jones" not in (tmp_path / "d" / "manifest.json").read_text()


def test_a_text_within_a_longer_one_is_not_proved_gone(tmp_path: Path) -> None:
    small(tmp_path / "d", rows=3)
    (tmp_path / "notes.json").write_text(json.dumps(f"He said: {SECRET}!"))
    code, said = typed("place-1", "--workspace", tmp_path, "--yes")
    assert code == 5
    assert "within a longer one" in said
    assert "Neither the ids" not in said


def test_what_cannot_be_read_is_named_and_what_is_no_file_is_passed_by(tmp_path: Path) -> None:
    small(tmp_path / "d", rows=3)
    whole = gzip.compress(np.random.default_rng(0).bytes(4_000))
    (tmp_path / "broken.gz").write_bytes(whole[:1_000] + b"\xff" * 100 + whole[1_100:])
    (tmp_path / "half.json").write_text('["\\ud83d cut through"]')
    for name in ("pipe", "pipe.toml", "index.json"):
        os.mkfifo(tmp_path / name)
    code, said = typed("place-1", "--workspace", tmp_path, "--yes")
    assert code == 0
    assert f"Could not be looked into: {tmp_path / 'broken.gz'}" in said
    assert "half.json" not in said
    assert "pipe" not in said
    assert "Nothing of it was found in the others." in said
    assert "Neither the ids" not in said
