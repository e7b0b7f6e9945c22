"""What a check remembers of texts, about 150 bytes each, and finds in them."""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nearfar.data.findings import EXAMPLES, Example, Finding, Severity
from nearfar.data.formulas import looks_like_formula
from nearfar.data.known import Key, id_of, key_of
from nearfar.records import Document, Query, Role

Ints = NDArray[np.int64]
Groups = dict[str, int]  # the number of each group, of queries and documents alike

_HASH_BYTES = 16  # two of a billion different texts collide with a chance below 1 in 10^20


@dataclass
class _Some:
    """How many there are, and the ids of the first."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, id: str) -> None:
        self.count += 1
        if len(self.ids) < EXAMPLES:
            self.ids.append(id)


class Texts:
    """The N texts of one role, numbered as they come."""

    def __init__(self, role: Role, groups: Groups) -> None:
        self.role = role
        self._names = groups
        self._numbers: dict[Key, int] = {}
        self._hashes = bytearray()  # of what is the same for texts alike up to case and spaces
        self._groups = array("i")  # -1: none
        self._empty, self._formulas = _Some(), _Some()

    def __len__(self) -> int:
        return len(self._numbers)

    def see(self, text: Document | Query) -> None:
        """Take note of one more text."""
        self._numbers[key_of(text.id)] = len(self._numbers)
        alike = " ".join(text.content.casefold().split())
        self._hashes += hashlib.blake2b(alike.encode(), digest_size=_HASH_BYTES).digest()
        group = self._names.setdefault(text.group, len(self._names)) if text.group else -1
        self._groups.append(group)
        if not any(map(str.isalnum, text.content)):
            self._empty.add(text.id)
        if looks_like_formula(text.content):
            self._formulas.add(text.id)

    def number(self, id: str) -> int:
        """Return the number of a text."""
        return self._numbers[key_of(id)]

    def ids(self, numbers: Ints) -> tuple[str, ...]:
        """Return the ids of a few texts."""
        if not len(numbers):
            return ()
        keys = list(self._numbers)
        return tuple(id_of(keys[number]) for number in numbers.tolist())

    @property
    def groups(self) -> Ints:
        """Return the number of the group of each text, (N,), or -1."""
        return np.array(self._groups, dtype=np.int64)

    @cached_property
    def firsts(self) -> Ints:
        """Return for each text the number of the first one that is the same, (N,)."""
        high, low = np.frombuffer(self._hashes, dtype=np.uint64).reshape(-1, 2).T
        order = np.lexsort((low, high))  # stable: texts alike stay in order
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
        firsts = np.empty(len(order), dtype=np.int64)
        firsts[order] = order[is_new][np.cumsum(is_new) - 1]
        return firsts

    def alike(self, first: int) -> tuple[str, ...]:
        """Return the ids of a text and of those like it, a few of them."""
        return self.ids(np.flatnonzero(self.firsts == first)[:EXAMPLES])

    def findings(self) -> Iterator[Finding]:
        """Yield what can be found in the texts themselves."""
        plural = "queries" if self.role == "query" else "documents"
        yield self._some(
            f"empty_{plural}",
            "warning",
            self._empty,
            f"{plural} without a letter or a digit",
            "Fill them in, or remove them from the source.",
        )
        yield self._some(
            f"formula_{plural}",
            "note",
            self._formulas,
            f"{plural} that a spreadsheet would run as a formula",
            "Here they are harmless; escape them in whatever you export.",
        )
        times = np.bincount(self.firsts, minlength=len(self))
        again = np.flatnonzero(times > 1)
        yield Finding(
            f"duplicate_{plural}",
            "warning",
            int((times[again] - 1).sum()),
            len(self),
            f"{plural} that repeat the text of another under a different id",
            "Give one text one id: an answer under two ids counts as wrong under one of them.",
            tuple(Example(self.alike(first)) for first in again[:EXAMPLES].tolist()),
            self.role,
        )

    def _some(self, name: str, severity: Severity, found: _Some, what: str, advice: str) -> Finding:
        examples = tuple(Example((id,)) for id in found.ids)
        return Finding(name, severity, found.count, len(self), what, advice, examples, self.role)
