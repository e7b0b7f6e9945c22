"""What stands in a workspace: datasets, models, indexes, reports, and what runs keep beside them.

Everything is recognised by the file that its writer leaves in it, so nothing is registered
anywhere, and a folder that was moved or copied is still found by its digest.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset, Table
from nearfar.errors import BadFile
from nearfar.fingerprint import file_sha256
from nearfar.lineage.parents import former_digests

TABLES: tuple[Table, ...] = ("documents", "queries", "judgments")
MOST_DEPTH = 8
NOT_HERE = "not in this workspace"
_BYTES_HASHED = 1 << 30
DEEPEST = 100  # where a forgetting still looks
_NOT_OURS = {".git", ".hg", "__pycache__", "node_modules", "site-packages"}
# Named by model/kept_vectors.py and data/texts_by_row.py.
_VECTORS = re.compile(r"vectors-[0-9a-f]{16}\.npy|texts-[0-9a-f]{16}\.arrow")
# A line of llm/journal.py begins so, and says at least this.
_ANSWER, _ANSWERED = b'{"key": "', {"key", "text", "stop", "cost_usd"}
_MOST_READ = 4 << 20  # bytes of a line that may be such an answer
# What `files.py` and the import name the things that they have not finished.
_LEFT_BEHIND = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(part|old|import)")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and what the file that marks it says."""

    folder: Path
    facts: Mapping[str, Any]


@dataclass(slots=True)
class Workspace:
    """What was found under a folder, each thing once, in the order of the paths."""

    root: Path
    datasets: list[Dataset] = field(default_factory=list)
    models: list[Place] = field(default_factory=list)  # by their nearfar.json
    rerankers: list[Place] = field(default_factory=list)  # by theirs, which names no space
    indexes: list[Place] = field(default_factory=list)
    reports: list[Place] = field(default_factory=list)
    checks: list[Place] = field(default_factory=list)  # stages that `nearfar run` checked in
    stores: list[Path] = field(default_factory=list)  # tokens-*, what a run made of its texts
    vectors: list[Path] = field(default_factory=list)  # of documents, and their texts, by a miner
    answers: list[Path] = field(default_factory=list)  # of language models, which were paid for
    recipes: dict[str, Path] = field(default_factory=dict)  # by the name of their run
    left_behind: list[Path] = field(default_factory=list)  # by a process that was killed
    skipped: list[str] = field(default_factory=list)  # what could not be read, and why

    def dataset(self, digest: str) -> Dataset | None:
        """Return the dataset of that digest, or the one that had it before a forgetting."""
        for found in self.datasets:
            if found.digest == digest:
                return found
        return next((d for d in self.datasets if digest in former_digests(d)), None)

    def model(self, space: str, *, moved: bool = False) -> Place | None:
        """Return the model whose vectors live in a space.

        Args:
            space: the fingerprint of the space.
            moved: only a model whose training beat its base: if it kept the base's weights,
                its space is the base's, and it was not there before itself.
        """
        own = [m for m in self.models if space_of(m) == space]
        own.sort(key=kept_its_base)
        if moved:
            own = [m for m in own if not kept_its_base(m)]
        return own[0] if own else None

    def reranker(self, fingerprint: str) -> Place | None:
        """Return the cross-encoder of that fingerprint."""
        own = [one for one in self.rerankers if one.facts["reranker"] == fingerprint]
        return own[0] if own else None

    def source(self, path: str, sha256: str) -> tuple[Path | None, str]:
        """Find a source by its path, as it was given or seen from here; say if it has changed."""
        for place in (Path(path), self.root / path):
            if path and place.exists():
                if len(sha256) != 64 or not place.is_file():
                    return place, ""
                if place.stat().st_size > _BYTES_HASHED or file_sha256(place) == sha256:
                    return place, ""
                return place, "changed since it was read"
        return None, NOT_HERE

    def joined(self, here: "Workspace") -> "Workspace":
        """Return both: what is asked about need not stand in the workspace."""
        both = Workspace(self.root, indexes=self.indexes)
        both.datasets = self.datasets + here.datasets
        known = {place.folder.resolve() for place in (*self.models, *self.rerankers)}
        for name in ("models", "rerankers"):
            new = [one for one in getattr(here, name) if one.folder.resolve() not in known]
            setattr(both, name, getattr(self, name) + new)
        return both


def latest_stages(folder: Path) -> set[str] | None:
    """Return the folders of the stages that a run went through last; None of what is no run."""
    try:
        stages = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return {str(stage) for stage in stages.values()}
    except (OSError, ValueError, AttributeError):
        return None


def space_of(place: Place) -> str:
    """Return the fingerprint of the space that a model or an index says it is of."""
    space = place.facts.get("space")
    return str(space.get("fingerprint", "")) if isinstance(space, dict) else ""


def name_of(model: Place) -> str:
    """Return the fingerprint of an encoder's space, or of a reranker."""
    return space_of(model) or str(model.facts.get("reranker", ""))


def kept_its_base(model: Place) -> bool:
    """Tell whether training never beat the base: the weights are then the base's to the bit."""
    return name_of(model) == model.facts.get("base_space")


def digests_of(model: Place) -> list[str]:
    """Return the digests of the datasets that a model says it has learned from."""
    tasks = model.facts.get("tasks")
    tasks = [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []
    return list(dict.fromkeys(str(task["dataset"]) for task in tasks if "dataset" in task))


def scan(root: Path, *, most_depth: int = MOST_DEPTH) -> Workspace:
    """Look for everything that nearfar has made under a folder.

    Links within it are followed, but every real folder is looked at once, under its own name
    where it has one there: a run's `model` is a link to the folder of its stage. Links that lead
    out of it are not: what is there belongs to others.

    Raises:
        BadFile: there is no such folder.
    """
    if not root.is_dir():
        raise BadFile(f"{root}: expected a folder to look in, found none. Name your workspace.")
    found = Workspace(root)
    for folder, names in folders(root, most_depth, found):
        _see(folder, names, found)
    return found


def folders(
    root: Path,
    most_depth: int,
    found: Workspace,
    *,
    foreign: Callable[[Path], None] = lambda folder: None,
) -> Iterator[tuple[Path, set[str]]]:
    """Yield every real folder within once with the names of its files, those behind links last.

    Args:
        root: where to begin.
        most_depth: how many folders deep to go.
        found: told of what was left behind, and of what is skipped.
        foreign: called with each folder of a tool, which is passed by.
    """
    home, seen = root.resolve(), set[Path]()
    waiting, links = [(root, 0)], list[tuple[Path, int]]()
    while waiting or links:
        folder, depth = waiting.pop() if waiting else links.pop(0)
        if (real := folder.resolve()) in seen:
            continue
        seen.add(real)
        inner, names = _entries(folder, found)
        yield folder, names
        for path in reversed(inner):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                found.skipped.append(f"{path}: a link out of the workspace, not followed")
            elif _is_foreign(path):
                foreign(path)
            elif depth == most_depth:
                found.skipped.append(f"{path}: more than {most_depth} folders deep")
            else:
                (links if path.is_symlink() else waiting).append((path, depth + 1))


def _entries(folder: Path, found: Workspace) -> tuple[list[Path], set[str]]:
    """Return the folders in a folder, and the names of its files: pipes are neither."""
    inner: list[Path] = []
    names: set[str] = set()
    try:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = folder / entry.name
            if left_behind(path) and not entry.is_symlink():
                found.left_behind.append(path)
            elif path.is_dir():  # unlike the entry, the path bears links that lead to themselves
                inner.append(path)
            if path.is_file():
                names.add(entry.name)
    except OSError as error:
        found.skipped.append(f"{folder}: {error.strerror}")
    return inner, names


def left_behind(path: Path) -> str | None:
    """Return the name of what a killed process was writing here; None if this is nothing such."""
    found = _LEFT_BEHIND.fullmatch(path.name)
    return found["name"] if found else None


def _is_foreign(folder: Path) -> bool:
    """Tell whether a folder is a tool's own: version control, a cache, an environment."""
    return folder.name in _NOT_OURS or (folder / "pyvenv.cfg").is_file()


def _see(folder: Path, names: set[str], found: Workspace) -> None:
    found.vectors += [folder / name for name in sorted(names) if _VECTORS.fullmatch(name)]
    jsonl = [folder / name for name in sorted(names) if name.endswith(".jsonl")]
    found.answers += [path for path in jsonl if _keeps_answers(path)]
    if folder.name.startswith("tokens-") and "store.json" in names:
        found.stores.append(folder)
    for name, kept, keys in (
        ("nearfar.json", found.models, {"space", "tasks"}),
        ("nearfar.json", found.rerankers, {"reranker", "tasks"}),
        ("index.json", found.indexes, {"space", "dataset"}),
        ("report.json", found.reports, {"dataset", "measures"}),
        ("stage.json", found.checks, {"stage", "depends_on"}),
    ):
        facts = _facts(folder / name, found) if name in names else None
        if facts is not None and keys <= facts.keys() and facts.get("stage", "check") == "check":
            kept.append(Place(folder, facts))
    if "manifest.json" in names:
        facts = _facts(folder / "manifest.json", found)
        if facts is not None and {"format", "digest", "rows"} <= facts.keys():
            _see_dataset(folder, found)
    for name in sorted(names):
        if name.endswith(".toml"):
            _see_recipe(folder / name, found)


def _see_dataset(folder: Path, found: Workspace) -> None:
    try:
        dataset = Dataset.open(folder)
        for table in TABLES:
            dataset.count(table)
    except BadFile as error:
        found.skipped.append(str(error))
    except (KeyError, TypeError, ValueError) as error:
        found.skipped.append(f"{folder}/manifest.json: does not count its rows ({error!r})")
    else:
        found.datasets.append(dataset)


def _keeps_answers(path: Path) -> bool:
    """Tell whether a file is a journal of paid answers, by its first line, whatever its name."""
    try:
        with path.open("rb") as file:
            line = file.readline(_MOST_READ)
        return line.startswith(_ANSWER) and set(json.loads(line)) >= _ANSWERED
    except OSError:
        return False
    except ValueError:  # the process may have been killed while it wrote its first answer
        return not line.endswith(b"\n") and path.name.endswith(".answers.jsonl")


def _facts(path: Path, found: Workspace) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found.skipped.append(f"{path}: cannot be read ({error})")
        return None
    return facts if isinstance(facts, dict) else None


def _see_recipe(path: Path, found: Workspace) -> None:
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # other tools keep TOML too
        return
    if {"name", "data", "model"} <= table.keys():
        found.recipes.setdefault(str(table["name"]), path)
