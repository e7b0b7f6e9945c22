"""One word for one thing, whatever the verb: where a result stands, and which model is which."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.data.writer import write_dataset
from nearfar.errors import BadSetting
from nearfar.records import Document, Judgment, Origin, Query

VERBS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# --model is an encoder, --reranker reads pairs, --llm is asked; where it stands has no option.
OTHER_WORDS = {"--out", "--output", "--into", "--to", "--teacher", "--encoder", "--embedder"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_thing_has_one_name(verb: str) -> None:
    options = {name for param in VERBS[verb].params for name in param.opts}
    assert not OTHER_WORDS & options


@pytest.mark.parametrize("verb", ["import", "synthesise", "mine", "audit", "teach", "train",
                                  "evaluate", "index"])  # fmt: skip
def test_what_is_read_comes_first_and_where_the_result_stands_second(verb: str) -> None:
    places = [one.name for one in VERBS[verb].params if one.param_type_name == "argument"]
    assert places == [{"import": "source"}.get(verb, "dataset"), "folder"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with write_dataset(tmp_path / "data", licence="CC0-1.0", parents=[]) as writer:
        writer.add_document(Document(id="d", content="all about it"))
        writer.add_query(Query(id="q", content="what is it"))
        mined = Origin(kind="mined", source="t:1")
        writer.add_judgment(
            Judgment(query_id="q", document_id="d", grade=0.0, origin=mined, split="train")
        )
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Nothing to do"),
        (("new",), "Found no --marks"),
        (("--marks", "sheet.csv"), "Found no FOLDER"),
        (("--sheet", "s.csv", "--reranker", "r"), "--reranker need --model"),
    ],
)
def test_an_audit_says_what_goes_together(data: Path, words: tuple[str, ...], message: str) -> None:
    found = CliRunner().invoke(app, ["audit", str(data), *words]).exception
    assert isinstance(found, BadSetting)
    assert message in str(found)


def test_a_marked_sheet_comes_back_in_a_new_folder(data: Path, tmp_path: Path) -> None:
    sheet, new = tmp_path / "sheet.csv", tmp_path / "new"
    CliRunner().invoke(app, ["audit", str(data), "--sheet", str(sheet)], catch_exceptions=False)
    lines = sheet.read_text().splitlines()
    place = lines[0].split(",").index("is_answer")
    cells = lines[1].split(",")
    cells[place] = "yes"
    sheet.write_text(f"{lines[0]}\n{','.join(cells)}\n")
    words = ["audit", str(data), str(new), "--marks", str(sheet), "--by", "ann"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert f"{new}: 1 negatives were answers" in done.output
