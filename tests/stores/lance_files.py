"""Files and rows of a Lance table, as other libraries see them; and which files were flushed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lance_child import PIECES


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def table(folder: Path) -> Path:
    return folder / "one" / "documents.lance"


def rows(folder: Path) -> dict[str, list[tuple[int, int, str | None]]]:
    """Return of each document its pieces, as another library sees them: piece, round, digest."""
    import lance

    found = lance.dataset(str(table(folder))).to_table(columns=["id", "piece", "vector", "digest"])
    held: dict[str, list[tuple[int, int, str | None]]] = {}
    for row in found.to_pylist():
        said = (row["piece"], int(row["vector"][0]), row["digest"])
        held.setdefault(row["id"], []).append(said)
    return held


def hold_whole(folder: Path) -> dict[str, int]:
    """Return which write each document is of, once all of them are whole."""
    rounds = {}
    for name, pieces in rows(folder).items():
        number = pieces[0][1]
        whole = [(at, number, None if at else str(number)) for at in range(PIECES)]
        assert sorted(pieces, key=lambda piece: piece[0]) == whole, name
        rounds[name] = number
    return rounds


@contextmanager
def flushed() -> Iterator[list[tuple[int, int, int]]]:
    """Note of each fsync the inode, its time of change, and how many manifests there were."""
    seen: list[tuple[int, int, int]] = []
    real = os.fsync

    def note(handle: int) -> None:
        real(handle)
        about = os.fstat(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        above = [path, *path.parents]
        tables = [one for one in above if one.suffix == ".lance" and one.is_dir()]
        manifests = len(list(tables[0].glob("_versions/*.manifest"))) if tables else 0
        seen.append((about.st_ino, about.st_mtime_ns, manifests))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", note)
        yield seen


def hold_flushed(
    folder: Path, before: dict[Path, tuple[int, int]], seen: list[tuple[int, int, int]]
) -> list[Path]:
    """Hold that each new file, and the folder it stands in, was flushed as it stands now."""
    new = [path for path, said in files(folder).items() if before.get(path) != said]
    flushed_files = {(inode, changed) for inode, changed, _ in seen}
    flushed_folders = {inode for inode, _, _ in seen}
    for path in new:
        if path.suffix == ".lock":  # holds nothing
            continue
        assert files(folder)[path] in flushed_files, f"{path} is not flushed"
        assert path.parent.stat().st_ino in flushed_folders, f"the name of {path} is not flushed"
    return new
