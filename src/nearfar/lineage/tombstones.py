"""What was forgotten in a workspace, by hash alone, so that it is known if it comes back.

The hashes are keyed by a number that was drawn for the workspace: lists of common texts or ids
hashed elsewhere say nothing here. Who has the file can still test a guess.
"""

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset, Table
from nearfar.errors import BadFile
from nearfar.files import whole_file

NAME = "forgotten.json"
_FORMAT = 1


@dataclass(slots=True)
class Tombstones:
    """The hashes of what was forgotten, by the request that asked for it."""

    path: Path
    salt: str
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """Return the hash of a text in this workspace."""
        key = bytes.fromhex(self.salt)
        data = text.encode("utf-8", "surrogatepass")  # JSON can hold halves of characters
        return hashlib.blake2b(data, digest_size=16, key=key).hexdigest()

    def texts(self, request: str | None = None) -> frozenset[str]:
        """Return the marks of the texts of one request, or of all."""
        chosen = self.requests if request is None else {request} & self.requests.keys()
        return frozenset(mark for name in chosen for mark in self.requests[name]["texts"])

    def unfinished(self, request: str) -> bool:
        """Tell whether a request was begun and did not come to its end."""
        return self.requests.get(request, {}).get("state") == "begun"

    def write(self, request: str, state: str, texts: Collection[str] = ()) -> None:
        """Keep a request with the marks of its texts, beside those it has already."""
        marks = {*self.texts(request), *map(self.mark, texts)}
        self.requests[request] = {"state": state, "texts": sorted(marks)}
        facts = {"format": _FORMAT, "salt": self.salt, "requests": self.requests}
        with whole_file(self.path) as part:
            part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_tombstones(root: Path) -> Tombstones:
    """Read what was forgotten in a workspace; nothing, and a new salt, if there is no file yet.

    Raises:
        BadFile: the file is damaged: without it, an unfinished forgetting cannot be finished.
    """
    path = root / NAME
    if not path.exists():
        return Tombstones(path, secrets.token_hex(16))
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != _FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, not {_FORMAT}")
        found = Tombstones(path, str(facts["salt"]), dict(facts["requests"]))
        found.mark("")  # the salt must be one
        found.texts()  # and the requests what `write` leaves
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{path}: expected the hashes of what was forgotten, and it cannot be read ({error}). "
            "Put back the file from a copy; or remove it, and texts that come back stay unknown."
        ) from error
    return found


def returned(dataset: Dataset, root: Path) -> int:
    """Return how many texts of a dataset were forgotten in a workspace before.

    Raises:
        BadFile: a table, or the file of what was forgotten, is damaged.
    """
    tombstones = read_tombstones(root)
    marks = tombstones.texts()
    if not marks:
        return 0
    tables: tuple[Table, ...] = ("documents", "queries")
    return sum(
        tombstones.mark(text) in marks
        for table in tables
        for batch in dataset.batches(table, ["content"])
        for text in batch["content"].to_pylist()
    )
