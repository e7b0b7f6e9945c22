"""The proof of a forgetting, what goes along with a text, and the command as it is typed."""

import gzip
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from traced import GONE, KEPT, USER, make_workspace
from typer.testing import CliRunner

from nearfar.cli.forget import forget as command
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadSetting, NearfarError
from nearfar.lineage.forgetting import forget
from nearfar.lineage.holdings import find_holdings
from nearfar.lineage.matching import Wanted, wanted
from nearfar.lineage.needles import Needles
from nearfar.lineage.walk import lineage
from nearfar.lineage.workspace import scan
from nearfar.records import Document, Judgment, Origin, Query


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("made"))


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work", symlinks=True))


# -- the proof ----------------------------------------------------------------------------------


def test_the_proof_finds_what_lies_in_other_files_and_says_what_it_cannot_open(
    work: Path,
) -> None:
    text, other = GONE[0]["document"], GONE[1]["query"]
    (work / "notes.txt").write_text(f"He wrote: {text}!")
    (work / "page.html").write_text(f"<p>{text.replace(chr(34), '&quot;')}</p>")
    (work / "log.csv.gz").write_bytes(gzip.compress(f"1,{other},2\n".encode()))
    with zipfile.ZipFile(work / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", "x" * 5_000_000 + other)
    np.savez_compressed(work / "texts.npz", texts=np.array([other.encode()]))
    (work / "raw.jsonl").write_text(f'{{"a": 1}}\n{json.dumps({"b": [text]})}\n')
    (work / "long.json").write_text(json.dumps(f"before {text} after"))
    (work / "packed.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    (work / "broken.parquet").write_text("PAR1")
    (work / "clean.txt").write_text(KEPT[0]["document"])
    proof = forget(work, wanted([USER])).proof
    assert {Path(line.split(" (")[0]).name for line in proof.holding} == {
        "notes.txt", "page.html", "log.csv.gz", "archive.zip", "texts.npz", "raw.jsonl:2",
    }  # fmt: skip
    assert [Path(line).name for line in proof.within] == ["long.json"]
    assert {Path(line.split(": ")[0]).name for line in proof.closed} == {
        "packed.zst", "broken.parquet",
    }  # fmt: skip


@given(
    st.lists(st.text("abc", min_size=8, max_size=30), min_size=1, max_size=5),
    st.text("abc", max_size=60),
    st.integers(1, 70),
)
def test_needles_are_found_as_a_plain_search_finds_them(
    texts: list[str], hay: str, size: int
) -> None:
    data = hay.encode()
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    expected = any(text in hay for text in texts)
    assert Needles(texts).found_in(blocks) == expected


def test_other_files_of_a_dataset_stay_and_those_that_hold_it_are_named(work: Path) -> None:
    (work / "data" / "clean.json").write_text('{"kept": true}')
    (work / "data" / "sheet.csv").write_text(f"{GONE[0]['query']},wrong\n")
    proof = forget(work, wanted([USER])).proof
    assert (work / "data" / "clean.json").exists()
    assert proof.holding == [str(work / "data" / "sheet.csv")]
    assert (work / "data" / "sheet.csv").exists()


# -- what goes with it --------------------------------------------------------------------------


def small(folder: Path, parents: list[dict[str, Any]] | None = None) -> Path:
    """Write a dataset of two documents, one of them with a query that a model wrote from it."""
    made = Origin(kind="synthetic", source="d1:0-9", by="llm-x")
    asked = Origin(kind="human", source="s.csv:4", by="anna")
    with write_dataset(folder, licence="x", parents=parents or []) as writer:
        for one in ("1", "2"):
            writer.add(Document(id=f"d{one}", content=f"the document of number {one}"))
            writer.add(Query(id=f"q{one}", content=f"the query of number {one}"))
        writer.add(Judgment(query_id="q1", document_id="d1", grade=1, origin=made))
        writer.add(Judgment(query_id="q2", document_id="d2", grade=1, origin=asked))
        writer.add(Judgment(query_id="q2", document_id="d1", grade=0, origin=asked))
    return folder


def test_what_a_model_wrote_from_a_document_goes_with_it(tmp_path: Path) -> None:
    small(tmp_path / "d")
    assert forget(tmp_path, wanted(["d1"])).proof.holding == []
    left = Dataset.open(tmp_path / "d")
    assert {q.id for q in left.queries()} == {"q2"}
    assert [(j.query_id, j.document_id) for j in left.judgments()] == [("q2", "d2")]


def test_paid_answers_kept_vectors_and_examples_in_prompts_go_too(tmp_path: Path) -> None:
    parents = [{"kind": "prompt", "path": "ab" * 8, "text": "Such as: the query of number 2"}]
    small(tmp_path / "d", parents=parents)
    for name in ("d.answers.jsonl", f"vectors-{'0' * 16}.npy", "mine.npy"):
        (tmp_path / name).write_text('{"key": "00", "text": "", "stop": "end", "cost_usd": 0}\n')
    (root,) = lineage(tmp_path / "d").roots
    (prompt,) = lineage(tmp_path / "d").used_by(root)
    assert prompt[1].key == f"prompt-{'ab' * 8}"
    assert forget(tmp_path, wanted(["d1", "q2"])).proof.within == []
    small(tmp_path / "d", parents=parents)
    proof = forget(tmp_path, wanted(["d2"])).proof
    assert proof.holding == proof.within == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "forgotten.json", "mine.npy"]
    small(tmp_path / "e", parents=parents)
    forget(tmp_path, wanted(["s.csv"]))
    forget(tmp_path, wanted(["q2"]))
    assert "the query of number 2" not in (tmp_path / "e" / "manifest.json").read_text()


def test_an_annotator_takes_the_judgments_and_leaves_the_texts(tmp_path: Path) -> None:
    small(tmp_path / "d")
    forget(tmp_path, wanted(["anna"]))
    left = Dataset.open(tmp_path / "d")
    assert {d.id for d in left.documents()} == {"d1", "d2"}
    assert [j.origin.by for j in left.judgments()] == ["llm-x"]


def test_a_dataset_without_judgments_goes_whole(tmp_path: Path) -> None:
    small(tmp_path / "d")
    done = forget(tmp_path, wanted(["d1", "q2"]))
    assert not (tmp_path / "d").exists()
    assert done.proof.holding == []


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)),
             min_size=1, max_size=12),
    st.sampled_from(["d0", "d3", "q1", "f.csv:2", "f.csv", "user-1", "group-2"]),
)  # fmt: skip
def test_after_forgetting_nothing_is_found_and_nothing_else_is_missing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]], asked: str
) -> None:
    work = tmp_path_factory.mktemp("random")
    with write_dataset(work / "d", licence="x", parents=[]) as writer:
        for q, d, line in rows:
            source, fields = f"f.csv:{line}", {"user": f"user-{q % 3}"}
            writer.add(Query(id=f"q{q}", content=f"question {q}", source=source, fields=fields))
            writer.add(Document(id=f"d{d}", content=f"text {d}", group=f"group-{d % 4}",
                                source=f"g.csv:{d}"))  # fmt: skip
            writer.add(Judgment(query_id=f"q{q}", document_id=f"d{d}", grade=1,
                                origin=Origin(kind="human", source=source)))  # fmt: skip
    before = Dataset.open(work / "d")
    ask = wanted([asked])
    (held,) = find_holdings(scan(work), ask).datasets or [None]
    forget(work, ask)
    assert not find_holdings(scan(work), ask)
    if held is None:
        assert Dataset.open(work / "d").digest == before.digest
    elif (work / "d").exists():
        after = Dataset.open(work / "d")
        assert after.count("documents") == before_count(held.dataset, "documents", held.documents)
        assert after.count("judgments") == held.dataset.count("judgments") - held.judgments


def before_count(dataset: Dataset, table: str, gone: set[str]) -> int:
    return int(dataset.manifest["rows"][table]) - len(gone)


# -- as a person types it -----------------------------------------------------------------------


def typed(*words: object) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output, done.exception


def test_the_command_shows_first_and_does_it_with_yes(work: Path) -> None:
    code, said, _ = typed(USER, "--workspace", work)
    assert code == 0
    assert "Nothing was touched" in said
    assert "must be trained again" in said
    (work / "notes.txt").write_text(GONE[0]["document"])
    code, said, _ = typed(USER, "--workspace", work, "--yes")
    assert code == 5
    assert f"{work / 'notes.txt'}" in said
    (work / "notes.txt").unlink()
    code, said, _ = typed(USER, "--workspace", work, "--yes")
    assert code == 0
    assert "Neither the ids nor the texts are in any of them." in said


@pytest.mark.parametrize(
    ("words", "kind", "part"),
    [
        ((), BadSetting, "found none"),
        (("",), BadSetting, "empty one"),
        (("--where", "user"), BadSetting, "FIELD=VALUE"),
        (("x", "--workspace", "none"), BadFile, "expected a folder to look in"),
    ],
)
def test_the_command_refuses_what_it_cannot_mean(
    words: tuple[str, ...], kind: type[NearfarError], part: str
) -> None:
    _, _, problem = typed(*words)
    assert isinstance(problem, kind)
    assert part in str(problem)


def test_a_damaged_memory_of_what_was_forgotten_is_refused(tmp_path: Path) -> None:
    small(tmp_path / "d")
    (tmp_path / "forgotten.json").write_text('{"format": 1}')
    with pytest.raises(BadFile, match=r"forgotten\.json: expected the hashes"):
        forget(tmp_path, Wanted(ids=frozenset({"d1"})))
    assert Dataset.open(tmp_path / "d").count("documents") == 2
