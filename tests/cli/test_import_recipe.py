"""A recipe imports again what has changed, and sees its paths from where it lies."""

import json
from pathlib import Path

import pytest

from nearfar.data.dataset import Dataset
from nearfar.errors import NearfarError
from nearfar.pipeline.recipe import read_recipe
from nearfar.pipeline.run import run
from nearfar.pipeline.source import identity

RECIPE = """\
name = "clicked"
[data]
source = "log.jsonl"
kind = "clicks"
documents = "texts.csv"
[data.clicks]
propensity = "power"
[model]
base = "package:no_such_model"
"""


def imported(home: Path, runs: Path) -> list[set[str]]:
    """Run until the missing model; return the documents of each import there is, by age."""
    with pytest.raises(NearfarError, match="no_such_model"):
        run(read_recipe(home / "a.toml"), recipe_folder=home, runs=runs)
    stages = sorted(runs.glob("clicked/import-*"), key=lambda path: path.stat().st_mtime_ns)
    return [{d.content for d in Dataset.open(stage / "dataset").documents()} for stage in stages]


def test_the_documents_of_a_log_are_part_of_its_source(tmp_path: Path) -> None:
    home, runs = tmp_path / "recipe", tmp_path / "runs"
    home.mkdir()
    page = {"query": "q", "shown": ["a", "b"], "clicks": ["b"]}
    (home / "log.jsonl").write_text((json.dumps(page) + "\n") * 10)
    (home / "texts.csv").write_text("id,text\na,first\nb,second\n")
    (home / "a.toml").write_text(RECIPE)
    assert imported(home, runs) == [{"first", "second"}]
    assert imported(home, runs) == [{"first", "second"}]
    (home / "texts.csv").write_text("id,text\na,first\nb,the second\n")
    assert imported(home, runs) == [{"first", "second"}, {"first", "the second"}]


def test_a_data_set_of_the_hub_is_no_path(tmp_path: Path) -> None:
    assert identity("hub:org/name@main", tmp_path)[0] == "hub:org/name@main"
