"""A small workspace made by the real verbs: two runs' worth of things that hold the same lines."""

import json
from pathlib import Path

from tiny import WORDS, tiny_bert

from nearfar.data.importing import ImportOptions, import_source
from nearfar.model.text import TextEncoder
from nearfar.pipeline.recipe import read_recipe
from nearfar.pipeline.run import run
from nearfar.search.index import build_index

ROWS = 72
USERS = 8
_RECIPE = """\
name = "tiny"
[data]
source = "{source}"
licence = "CC0-1.0"
shares = {{ dev = 0.2, test = 0.3 }}
[model]
base = "{base}"
[mining]
negatives_per_query = 1
depth = 60
relative_margin = 0.0
[training]
epochs = 4
pairs_per_step = 16
learning_rate = 2e-3
checks = 1
[evaluation]
map_points = 20
"""


def row(i: int) -> dict[str, str]:
    own, *others = (WORDS[(k * i + k) % len(WORDS)] for k in (1, 5, 7, 11, 13))
    return {
        "query": f"{own} {' '.join(others[:2])} n°{i:03d}",
        "document": f'{own} {" ".join(others[1:])} "{i:03d}"',
        "user": f"user-{i % USERS}",
    }


def make_workspace(folder: Path) -> Path:
    """Import, check, mine, train, evaluate and index; and import and index once more by hand."""
    tiny_bert(folder / "bert")
    source, workspace = folder / "pairs.jsonl", folder / "work"
    source.write_text("".join(json.dumps(row(i)) + "\n" for i in range(ROWS)))
    workspace.mkdir()
    recipe = workspace / "tiny.toml"
    recipe.write_text(_RECIPE.format(source=source, base=folder / "bert"))
    run(read_recipe(recipe), recipe_folder=workspace, runs=workspace / "runs")
    found = import_source(source, workspace / "data", ImportOptions(licence="CC0-1.0"))
    build_index(
        TextEncoder.load(folder / "bert"), found.dataset, workspace / "index", storage="float16"
    )
    return workspace


def only(folder: Path, pattern: str) -> Path:
    """Return the one path of a pattern."""
    (found,) = folder.glob(pattern)
    return found


USER = "user-3"
GONE = [row(i) for i in range(ROWS) if i % USERS == 3]
KEPT = [row(i) for i in range(ROWS) if i % USERS != 3]
