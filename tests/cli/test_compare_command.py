"""`nearfar compare` and `nearfar export` as a person types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from embedding_server import VectorServer, vectors_served
from tiny import tiny_dataset


def nearfar(folder: Path, *words: object, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "nearfar", *map(str, words)],
        cwd=folder, env=environment | more, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    tiny_dataset(folder / "data", pairs=160)
    return folder


def test_systems_are_put_side_by_side(home: Path) -> None:
    with vectors_served(VectorServer()) as server:
        done = nearfar(
            home, "compare", "data", "out", "--system", "words=bm25",
            "--system", f"served={server.address}#m", "--price", "served=3", "--runs",
            "--metric", "recall_at_5_score", OPENAI_API_KEY="secret",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert server.keys == {"Bearer secret"}
    assert "secret" not in done.stdout + done.stderr
    assert done.stdout.startswith("words reaches recall_at_5_score 0.")
    for part in ("Differences to words", "$ for 1,000 queries", "page: out/compare.html"):
        assert part in done.stdout
    facts = json.loads((home / "out/compare.json").read_text())
    assert [one["name"] for one in facts["systems"]] == ["words", "served"]
    assert {path.name for path in (home / "out/runs").iterdir()} == {
        "words.trec", "served.trec", "qrels.trec"}  # fmt: skip


def test_a_mistake_is_one_message(home: Path) -> None:
    done = nearfar(home, "compare", "data", "never", "--system", "a=bm25", "--system", "a=bm25")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("nearfar: ") == 1
    assert "expected NAME=WHAT, each name once; 'a' is named twice" in done.stderr
    assert not (home / "never").exists()


def test_a_dataset_is_exported_and_imported_again(home: Path) -> None:
    done = nearfar(home, "export", "data", "beir")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout == "beir: 160 documents, 160 queries, judgments: train 120, dev 20, test 20.\n"
    )
    assert nearfar(home, "import", "beir", "again").returncode == 0
    manifests = [
        json.loads((home / one / "manifest.json").read_text()) for one in ("data", "again")
    ]
    assert manifests[0]["rows"] == manifests[1]["rows"]
