"""`nearfar mteb`, as a person types it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tiny import WORDS, tiny_bert, tiny_cross
from typer.testing import CliRunner, Result

from nearfar.cli.mteb import mteb
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadSetting
from nearfar.model.text import TextEncoder
from nearfar.records import Document, Judgment, Origin, Query


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A dataset of two cohorts, a model, a reranker."""
    folder = tmp_path_factory.mktemp("mteb")
    origin = Origin(kind="human", source="x")
    with write_dataset(folder / "shop", licence="CC0-1.0", parents=[]) as writer:
        for i in range(44):
            text = f"{WORDS[i]} {WORDS[(3 * i) % 70]}"
            writer.add(Document(id=f"d{i}", content=text, source="x"))
            fields = {"side": "left" if i < 22 else "right"}
            writer.add(Query(id=f"q{i}", content=WORDS[i], source="x", fields=fields))
            judged = Judgment(query_id=f"q{i}", document_id=f"d{i}", grade=1, origin=origin,
                              split="test")  # fmt: skip
            writer.add(judged)
    tiny_bert(folder / "bert")
    tiny_cross(folder / "reranker")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def nearfar(*words: object) -> Result:
    app = typer.Typer()
    app.command()(mteb)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_results_lie_where_mteb_looks_for_them(home: Path) -> None:
    pytest.importorskip("mteb")
    done = nearfar("shop", "bert", "out", "--cohort", "query.side", "--language", "eng-Latn")
    assert done.exception is None, done.output
    space = TextEncoder.load(home / "bert").space.fingerprint
    place = Path("out/results/nearfar__bert") / space
    assert f"results: {place / 'shop.json'}" in done.stdout
    for line in ("shop: nDCG@10 0.", "shop-by-query.side · left: nDCG", "· right: nDCG@10 0."):
        assert line in done.stdout
    written = json.loads((place / "shop-by-query.side.json").read_text())
    assert written["dataset_revision"] == Dataset.open(home / "shop").digest
    assert {row["hf_subset"] for row in written["scores"]["test"]} == {"left", "right"}
    assert (place / "model_meta.json").is_file()


def test_two_stages_have_a_name_and_a_revision_of_their_own(home: Path) -> None:
    pytest.importorskip("mteb")
    done = nearfar(
        "shop", "bert", "two", "--rerank", "reranker/cross", "--candidates", 12, "--lexical",
        "--task", "my task",
    )  # fmt: skip
    assert done.exception is None, done.output
    (meta,) = Path("two/results/nearfar__bert+cross").glob("*/model_meta.json")
    choices = json.loads(meta.read_text())["loader_kwargs"]
    assert (choices["candidates"], choices["lexical"]) == (12, True)
    assert choices["space"] == TextEncoder.load(home / "bert").space.fingerprint
    assert (meta.parent / "my_task.json").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--candidates", 5], "Name it with --rerank"),
        (["--lexical-weight", 0.5], "Add --lexical"),
        (["--split", "aside"], "--split must be"),
        (["--cohort", "query.colour"], "query.colour"),
        (["--name", "tuned"], "organisation/model"),
        (["--language", "english"], "deu-Latn"),
        (["--rerank", "reranker/cross", "--candidates", 0], "candidates must be 1 or more"),
    ],
)
def test_wrong_input_is_one_message_and_nothing_is_written(
    home: Path, more: list[object], message: str
) -> None:
    pytest.importorskip("mteb")
    done = nearfar("shop", "bert", "wrong", *more)
    assert isinstance(done.exception, BadSetting)
    assert message in str(done.exception)
    assert not Path("wrong").exists()


def test_without_mteb_it_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    done = nearfar("shop", "bert", "wrong")
    assert isinstance(done.exception, BadSetting)
    assert "pip install 'nearfar[mteb]'" in str(done.exception)
