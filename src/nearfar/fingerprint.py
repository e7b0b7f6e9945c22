"""Short, stable names for things that must not change unseen."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return 16 hex digits that change when, and only when, a fact changes.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:16]


def canonical_json(facts: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot say.
    """
    return json.dumps(
        facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def content_id(content: str) -> str:
    """Return the id of a text that came without one: 20 hex digits of its SHA-256.

    80 bits: two of a billion different texts collide with a chance of about 4 in 10 million.
    """
    return hashlib.sha256(content.encode()).hexdigest()[:20]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


class MultisetDigest:
    """A digest of many rows that does not depend on their order.

    The SHA-256 of each row, as a number, summed modulo 2**256: rows can be written as they
    come, and a table that was sorted or merged otherwise still carries the same name.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, row: Any) -> None:
        """Count one more row, given as a value that JSON can say."""
        digest = hashlib.sha256(canonical_json(row).encode()).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 256)

    def hex(self) -> str:
        """Return 64 hex digits."""
        return f"{self._sum:064x}"
