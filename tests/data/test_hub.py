"""A data set of the 🤗 hub is named exactly, and what is missing is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nearfar.data.hub import HubSource, fetch
from nearfar.data.pairs import PairsReader
from nearfar.errors import BadSetting
from nearfar.records import Judgment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("source", ["hub:", "hub:name", "hub:a/b@", "hub:a b/c", "hub:a/b:c:d"])
def test_what_is_no_name_is_answered_with_an_example(source: str) -> None:
    with pytest.raises(BadSetting, match=r"expected hub:ORG/NAME.*hub:mteb"):
        fetch(source)


def test_the_parts_of_a_data_set_are_its_splits() -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"anchor": f"q{i}", "positive": f"p{i}"} for i in range(2_500)]
    parts = {name: datasets.Dataset.from_list(part)
             for name, part in (("train", rows[:2_400]), ("test", rows[2_400:]))}  # fmt: skip
    source = HubSource("org/name", "plain", COMMIT, parts)
    judged = [r for r in PairsReader(source).records() if isinstance(r, Judgment)]
    assert [j.split for j in judged] == ["train"] * 2_400 + ["test"] * 100
    assert judged[2_399].origin.source == "train:row 2400"
    assert source.facts() == {"path": "hub:org/name", "config": "plain", "revision": COMMIT}
    assert str(source) == f"hub:org/name:plain@{COMMIT}"


@pytest.mark.parametrize("name", ["hub:org/name", f"hub:org/name:plain@{COMMIT}"])
def test_without_a_network_one_message_says_what_can_be_done(tmp_path: Path, name: str) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-m", "nearfar", "import", name, str(tmp_path / "set")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{name}: cannot be fetched from the hub" in done.stderr
    assert "save_to_disk" in done.stderr
    assert not (tmp_path / "set").exists()


def test_a_missing_library_is_said_with_the_way_to_install_it() -> None:
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from nearfar.data.hub import fetch\n"
        "try: fetch('hub:org/name')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BadSetting hub:org/name: reading from the 🤗 hub needs")
    assert "pip install 'nearfar[hub]'" in done.stdout
