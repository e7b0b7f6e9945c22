"""Reads a data set of the 🤗 hub by its id, at a revision that is found out and kept.

hub:ORG/NAME    hub:ORG/NAME@REVISION    hub:ORG/NAME:CONFIG@REVISION    hub:ORG/NAME/CONFIG
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nearfar.data.rejects import Rejects
from nearfar.data.rows import Row, table_rows
from nearfar.errors import BadFile, BadSetting

PREFIX = "hub:"
_SPEC = re.compile(
    r"(?P<name>[\w.-]+/[\w.-]+)(?:[:/](?P<config>[^@:/]+))?(?:@(?P<revision>[^@\s]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubSource:
    """One configuration of a data set, at one commit."""

    name: str
    config: str | None
    revision: str  # the commit, whatever branch or tag was asked for
    parts: dict[str, Any]  # the splits by name, on disk in the cache of 🤗 datasets

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        return f"{PREFIX}{self.name}{config}@{self.revision}"

    def rows(self, rejects: Rejects) -> Iterator[Row]:
        """Yield the rows of each split, a batch in memory at once."""
        for split, part in self.parts.items():
            yield from table_rows(part.with_format("arrow"), split, rejects)

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return list(self.parts)

    def facts(self) -> dict[str, Any]:
        """Return what the manifest keeps of it, enough to fetch the same rows again."""
        return {"path": f"{PREFIX}{self.name}", "config": self.config, "revision": self.revision}


def is_hub(source: object) -> bool:
    """Tell whether a source names a data set of the hub."""
    return isinstance(source, str) and source.startswith(PREFIX)


def fetch(source: str) -> HubSource:
    """Return a data set of the hub; downloads what is not in the cache.

    Args:
        source: such as "hub:mteb/stsbenchmark-sts@main".

    Raises:
        BadSetting: the name is no such name, or the library `datasets` is missing.
        BadFile: the hub cannot be reached, or has no such data set, configuration or revision.
    """
    name, config, revision = _divided(source)
    try:
        import datasets
        from huggingface_hub import HfApi
    except ImportError as error:
        raise BadSetting(
            f"{source}: reading from the 🤗 hub needs the library datasets ({error}). "
            "Install it with `pip install 'nearfar[hub]'`."
        ) from error
    try:
        # A commit needs no look-up, so what is in the cache can be read without a network.
        commit = revision if revision and _COMMIT.fullmatch(revision) else None
        commit = commit or HfApi().dataset_info(name, revision=revision).sha
        parts = datasets.load_dataset(name, config, revision=commit)
    except Exception as error:  # the libraries raise their own, urllib's, httpx's and OSError
        raise BadFile(
            f"{source}: cannot be fetched from the hub ({_first_line(error)}). Check the name and "
            "the network. Without a network, name a commit that is in the cache (@ and its 40 hex "
            "digits), or fetch the data set elsewhere and give the folder of its save_to_disk."
        ) from error
    if not commit or not isinstance(parts, dict):
        raise BadFile(f"{source}: expected splits at a commit, found {type(parts).__name__}.")
    return HubSource(name, config, commit, dict(parts))


def _divided(source: str) -> tuple[str, str | None, str | None]:
    found = _SPEC.fullmatch(source.removeprefix(PREFIX))
    if not found:
        raise BadSetting(
            f"{source}: expected hub:ORG/NAME, and after it :CONFIG and @REVISION if need be, "
            "such as hub:mteb/stsbenchmark-sts@main."
        )
    return found["name"], found["config"], found["revision"]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no more is known').splitlines()[0]}"
