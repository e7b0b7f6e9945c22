"""A release as it is written down: what it is made of, to the byte, and so its name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nearfar.errors import BadFile, said
from nearfar.fingerprint import canonical_json, file_sha256
from nearfar.release.places import Place

FORMAT = 1
FILE = "release.json"
CARD, VERDICT, REPORT, MODEL = "README.md", "verdict.json", "report.json", "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a model, with its card and its verdict."""

    name: str
    space: str  # fingerprint; of a reranker that of the encoder it was judged with
    dataset: str  # digest of what it was judged on
    split: str
    policy: str  # digest
    outcome: str  # of the verdict, on the day it was released
    files: Mapping[str, str]  # path within, to SHA-256
    measures: Mapping[str, Mapping[str, Any]]  # metric to mean, low, high and n
    at: str = ""  # when it was released for the first time; no part of its name
    reranker: str = ""  # fingerprint; empty of an encoder

    @property
    def version(self) -> str:
        """64 hex digits: the SHA-256 of all that it is, so that nothing of it can change."""
        facts = {name: value for name, value in self.to_json().items() if name != "at"}
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return all that it is; an encoder says nothing of rerankers, as when there were none."""
        facts = asdict(self)
        return facts if self.reranker else {k: v for k, v in facts.items() if k != "reranker"}

    @property
    def where(self) -> str:
        """Its folder in a registry."""
        return f"models/{self.name}/{self.version}"


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file within, by its path with slashes."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files}


def write_release(release: Release, path: Path) -> None:
    """Write release.json."""
    facts = {"format": FORMAT, "version": release.version, **release.to_json()}
    text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_release(place: Place, name: str, version: str) -> Release:
    """Read what a registry says of a version.

    Raises:
        BadFile: it is not there, is damaged, or is not what its name says.
    """
    where = f"models/{name}/{version}/{FILE}"
    content = place.read(where)
    if content is None:
        raise BadFile(
            f"{place.url}: expected the version {version} of {name!r}, found none. See what "
            f"there is with `nearfar releases {place.url} {name}`."
        )
    try:
        facts = json.loads(content)
        if (found := facts.pop("format")) != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        facts.pop("version")
        release = Release(**facts)
        for path in release.files:
            _require_inside(path)
        named = release.version
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{place.url}/{where}: expected a release ({said(error)}). Release the model again."
        ) from error
    if (named, release.name) != (version, name):
        raise BadFile(
            f"{place.url}/{where}: expected what makes {version} of {name!r}, found what makes "
            f"{named} of {release.name!r}. It was changed by hand; release the model again."
        )
    return release


def require_files(place: Place, release: Release) -> None:
    """Refuse a version if a file of it is missing or new; their bytes are read elsewhere.

    Raises:
        BadFile: names the files.
    """
    here = place.files(release.where) - {FILE}
    for what, names in (
        ("are missing", set(release.files) - here),
        ("are not of this release", here - set(release.files)),
    ):
        if names:
            raise BadFile(
                f"{place.url}/{release.where}: expected {len(release.files)} files, and "
                f"{', '.join(sorted(names)[:3])} {what}. Release the model again, elsewhere."
            )


def require_digest(place: Place, release: Release, path: str, found: str) -> None:
    """Refuse a file that is not the one that was released.

    Raises:
        BadFile: names the file and both digests.
    """
    if found != release.files[path]:
        raise BadFile(
            f"{place.url}/{release.where}/{path}: expected the SHA-256 {release.files[path]}, "
            f"found {found}. The file was changed or damaged after its release; take another "
            "version, or release the model again into a registry that is sound."
        )


def _require_inside(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or set(path) & set("\\:\0"):
        raise ValueError(f"the file {path!r} lies outside of the release")
