"""Guides run as they stand, and name no file or command that is not there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"```(sh|sh fails|python)\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("guide", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_a_guide_runs_from_top_to_bottom(guide: Path, tmp_path: Path) -> None:
    bin_ = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    for kind, code in _BLOCK.findall(guide.read_text()):
        command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-ec", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        expected = 2 if kind == "sh fails" else 0
        assert done.returncode == expected, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    rooms = [
        ROOT,
        ROOT / "src/nearfar",
        *(p for p in (ROOT / "src/nearfar").rglob("*") if p.is_dir()),
    ]
    for name in re.findall(r"`([\w/.-]+\.(?:py|toml|md))`", page.read_text()):
        found = any(
            (room / name).exists() for room in [*rooms, *sorted((ROOT / "tests").iterdir())]
        )
        assert found, f"{page.name} names {name}"
