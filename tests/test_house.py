"""The house stays the house: small files that say their job, floors, one page of words."""

import ast
from pathlib import Path

import pytest

SOURCES = sorted(Path("src/nearfar").rglob("*.py"))
FORBIDDEN = {"utils", "common", "helpers", "base", "manager", "core"}


@pytest.mark.parametrize("path", [*SOURCES, *sorted(Path("tests").rglob("*.py"))], ids=str)
def test_a_file_says_its_job_and_has_one(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""'), f"{path}: the first line says what this file is for"
    assert text.count("\n") <= 300, f"{path}: more than 300 lines is more than one job"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_name_says_something(path: Path) -> None:
    assert not FORBIDDEN & {path.stem, *(part for part in path.parts)}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_only_the_roof_prints_exits_or_reads_the_environment(path: Path) -> None:
    if "cli" in path.parts:
        return
    names = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    text = path.read_text()
    assert "print" not in names
    assert "sys.exit" not in text
    assert "os.environ" not in text


def test_the_map_of_the_house_names_every_room() -> None:
    rooms = {path.parent.name for path in SOURCES} - {"nearfar"}
    page = Path("ARCHITECTURE.md").read_text()
    assert not [room for room in rooms if f"{room}/" not in page]


def test_no_two_files_of_tests_have_one_name() -> None:
    tests = [path.name for path in Path(__file__).parent.rglob("*.py") if path.stem != "conftest"]
    assert len(tests) == len(set(tests))  # pytest refuses the second of two, when all are run
