"""A release that is killed midway is none, and the next one clears away what is left of it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from registry_world import Judged, judged_in, put

from nearfar.errors import BadFile
from nearfar.release.listing import models, releases
from nearfar.release.places import open_place

# Fills a staged folder as a release does, and then waits to be killed.
_FILLING = """
import sys
from nearfar.release.places import open_place
with open_place(sys.argv[1]).staged() as part:
    (part / "model").mkdir()
    (part / "model" / "weights").write_bytes(bytes(1000))
    print("filling", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged_in(tmp_path_factory.mktemp("judged"))


@contextmanager
def filling(registry: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that fills a staged folder until it is killed."""
    words = [sys.executable, "-c", _FILLING, str(registry)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "filling\n"
        try:
            yield child
        finally:
            child.kill()


def staged(registry: Path) -> list[Path]:
    return list(registry.glob(".staged-*"))


def test_what_a_killed_release_left_is_none_and_goes_with_the_next(
    judged: Judged, tmp_path: Path
) -> None:
    registry = tmp_path / "registry"
    with filling(registry) as child:
        child.kill()
    assert len(staged(registry)) == 1
    with pytest.raises(BadFile, match="no model in it"):
        models(str(registry))
    version = put(judged, str(registry))
    assert staged(registry) == []
    assert [one.version for one in releases(str(registry), "tiny")[0]] == [version]


def test_what_another_is_filling_stays(judged: Judged, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    with filling(registry):
        put(judged, str(registry))
        assert [(one / "model/weights").stat().st_size for one in staged(registry)] == [1000]
        with filling(registry):
            assert len(staged(registry)) == 2
    with open_place(str(registry)).staged() as part:
        assert staged(registry) == [part]


def test_a_release_killed_between_its_files_and_its_name_is_taken_up(
    judged: Judged, tmp_path: Path
) -> None:
    registry = tmp_path / "registry"
    version = put(judged, str(registry))
    names = registry / "models/tiny/aliases"
    (names / "00000001.json").unlink()  # it was killed before it gave the version its name
    found, aliases = releases(str(registry), "tiny")
    assert ([one.version for one in found], aliases.named) == ([version], {})
    assert put(judged, str(registry)) == version
    assert releases(str(registry), "tiny")[1].named == {"candidate": version}
