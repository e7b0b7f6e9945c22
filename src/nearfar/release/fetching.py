"""Copies out of a registry, held against their digests byte by byte."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearfar.files import whole_folder
from nearfar.release.places import Place
from nearfar.release.records import (
    CARD,
    FILE,
    MODEL,
    Release,
    require_digest,
    require_files,
    write_release,
)

EVIDENCE = "release"  # folder of a fetched model, for what is not the model


@contextmanager
def verified(place: Place, release: Release) -> Iterator[Path]:
    """Yield a folder with every file of a version, as it was released; what is copied goes.

    Raises:
        BadFile: a file was changed, is missing or is new.
    """
    require_files(place, release)
    if (home := place.folder) is not None:
        for path in release.files:
            _check(place, release, path)
        yield home / release.where
        return
    with tempfile.TemporaryDirectory(prefix="nearfar-") as name:
        for path in release.files:
            _check(place, release, path, Path(name) / path)
        yield Path(name)


def fetch(place: Place, release: Release, folder: Path, *, replace: bool = False) -> None:
    """Fill a folder with a model that loads, its card, and in `release` the evidence.

    Args:
        place: of the registry.
        release: what to take.
        folder: that appears once all of it is there and sound.
        replace: whether it may take the place of another.

    Raises:
        BadFile: a file was changed, is missing or is new; or the folder is there already.
    """
    require_files(place, release)
    with whole_folder(folder, replace=replace) as part:
        for path in release.files:
            inner = path.removeprefix(f"{MODEL}/")
            ours = inner != path or path == CARD
            _check(place, release, path, part / (inner if ours else f"{EVIDENCE}/{path}"))
        write_release(release, part / EVIDENCE / FILE)


def _check(place: Place, release: Release, path: str, copy: Path | None = None) -> None:
    """Read a file once: to hold it against its digest, and to copy it if that is wanted."""
    digest = hashlib.sha256()
    if copy is None:
        for block in place.blocks(f"{release.where}/{path}"):
            digest.update(block)
    else:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as file:
            for block in place.blocks(f"{release.where}/{path}"):
                digest.update(block)
                file.write(block)
    require_digest(place, release, path, digest.hexdigest())
