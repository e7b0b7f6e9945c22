"""Whether a source has changed since it was imported, told without reading it."""

import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from nearfar.data.hub import is_hub
from nearfar.data.importing import PYTHON_DOCS


def identity(source: str, home: Path) -> tuple[str | Path, Any]:
    """Return what to import, and facts that change when the source does.

    Args:
        source: "python-docs", hub:ORG/NAME, or a file or folder.
        home: the folder from which a relative path is seen.

    Size and time of change stand in for the content, as they do for make. A data set of the hub
    is taken to stay as it is: its name tells it, best with a revision.
    """
    if source == PYTHON_DOCS:
        installed = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
        return source, {"python": platform.python_version(), "installed": installed}
    if is_hub(source):
        return source, source
    path = home / source
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return path, [(str(file), *_stat(file)) for file in files]


def _stat(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:  # the import will say what is wrong with it
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)
