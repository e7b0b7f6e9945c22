"""Finds the source files of Python's library and of installed packages, without importing any."""

import difflib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from nearfar.errors import BadSetting

PYTHON = "python"  # the name of the standard library among packages
ALL = "all"  # Python and everything that is installed beside it

_LEFT_OUT = {"test", "tests", "idle_test", "conftest"}


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    path: Path
    source: str  # relative to the root: "json/decoder.py"
    name: str  # dotted: "json.decoder"


def find_modules(packages: Sequence[str]) -> Iterator[Module]:
    """Yield the public modules of the packages in order of their names, tests left out.

    Raises:
        BadSetting: a package is not installed here.
    """
    for name in sorted(set(_expanded(packages))):
        if name == PYTHON:
            root = Path(sysconfig.get_paths()["stdlib"])
            for top in sorted(sys.stdlib_module_names):
                yield from _below(root, top)
        else:
            yield from _below(_root_of(name), name)


def installed_packages() -> set[str]:
    """Return the names to import of everything installed here, found in its metadata."""
    names = importlib.metadata.packages_distributions()
    return {name for name in names if name.isidentifier() and not name.startswith("_")}


def _expanded(packages: Sequence[str]) -> Iterator[str]:
    for name in packages:
        if name != ALL:
            yield name
            continue
        yield PYTHON
        yield from (found for found in installed_packages() if _spec_root(found))


def _root_of(name: str) -> Path:
    root = _spec_root(name)
    if root is None:
        near = difflib.get_close_matches(name, {*installed_packages(), PYTHON, ALL}, n=1)
        raise BadSetting(
            f"packages: {name!r} is not installed here as Python source."
            + (f" Did you mean {near[0]!r}?" if near else "")
            + f" Name what `import` would, {PYTHON!r} for the standard library, or {ALL!r}."
        )
    return root


def _spec_root(name: str) -> Path | None:
    """Return the folder a package or module lies in; the finder looks, and runs nothing."""
    if not name.isidentifier():
        return None
    spec = PathFinder.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin and spec.origin.endswith(".py") else None


def _below(root: Path, top: str) -> Iterator[Module]:
    folder = root / top
    found = folder.rglob("*.py") if folder.is_dir() else [root / f"{top}.py"]
    for path in sorted(found, key=lambda path: path.relative_to(root).parts):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        *folders, file = parts
        if path.is_file() and all(map(_public, folders)) and _read(file):
            yield Module(path, path.relative_to(root).as_posix(), ".".join(parts))


def _public(folder: str) -> bool:
    return folder.isidentifier() and not folder.startswith("_") and folder not in _LEFT_OUT


def _read(file: str) -> bool:
    """Tell whether a module is read; "_core.py" is, for much that is public is written there."""
    return _public(file.removeprefix("_")) and not file.startswith("test_")
