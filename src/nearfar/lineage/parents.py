"""What a dataset's manifest says of its parents, and what was forgotten since."""

from collections.abc import Mapping
from typing import Any

from nearfar.data.dataset import Dataset

_SPACES = ("space", "spaces", "guide")  # keys whose value is the fingerprint of a space
FORGOTTEN = "forgotten"  # the kind of parent that a dataset was before something was forgotten


def former_digests(dataset: Dataset) -> list[str]:
    """Return the digests a dataset had before something was forgotten, the oldest first."""
    return [str(p.get("digest")) for p in parents_of(dataset) if p.get("kind") == FORGOTTEN]


def parents_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Return what a dataset says it was made from."""
    parents = dataset.manifest.get("parents", [])
    return [p for p in parents if isinstance(p, dict)] if isinstance(parents, list) else []


def forgotten_since(dataset: Dataset, digest: str) -> list[str]:
    """Return the requests by which a dataset lost judgments to learn from since it had a digest."""
    found, since = [], False
    for parent in parents_of(dataset):
        since = since or parent.get("digest") == digest
        removed = parent.get("removed")
        if since and parent.get("kind") == FORGOTTEN and isinstance(removed, dict):
            found += [str(parent.get("request"))] if removed.get("train_judgments") else []
    return found


def spaces_in(facts: Mapping[str, Any]) -> list[str]:
    """Return the fingerprints of spaces among the facts of a parent, however deep."""
    found: list[str] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            found += spaces_in(value)
        elif isinstance(value, str) and (key in _SPACES or key.endswith("_space")):
            found.append(value)
        elif isinstance(value, list):
            inner = [one for one in value if isinstance(one, Mapping)]
            found += [space for one in inner for space in spaces_in(one)]
            found += [one for one in value if key == "spaces" and isinstance(one, str)]
    return list(dict.fromkeys(found))


def teachers_in(parent: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return kind, name and fingerprint of all that scored the pairs of a parent."""
    taught = parent.get("taught_with")
    teachers = taught.get("teachers") if isinstance(taught, Mapping) else None
    named = [one for one in teachers or () if isinstance(one, dict) and one.get("fingerprint")]
    return [{key: str(value) for key, value in one.items()} for one in named]


def kind_of(parents: list[dict[str, Any]]) -> str:
    """Return in one word how a dataset was made from its parents."""
    words = {word for parent in parents for word in (str(parent.get("kind", "")), *parent)}
    for start, kind in (("mine", "mine"), ("taught", "teach"), ("synth", "synthesise")):
        if any(word.startswith(start) for word in words):
            return kind
    return "derive" if any("digest" in parent for parent in parents) else "import"
