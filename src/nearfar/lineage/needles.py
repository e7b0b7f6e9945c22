"""Many texts looked for in many bytes at once, whatever the bytes are."""

import html
import json
import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

_KEY = 8  # bytes: one machine word, compared at every place of a block
_MOST = 256  # bytes of a text that are looked for; where they stand, the text stands
_BLOCK = 4 << 20
# What may stand before an id without a letter of its own: an escape of JSON, or of an address.
_ESCAPE = re.compile(rb"(\\[bfnrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})\Z")
_BEFORE = 6  # bytes of the longest escape
_SHORTEST = 2  # bytes, by which most places are ruled out

_Needle = tuple[bytes, bool]  # and whether it must stand alone


class Needles:
    """The beginnings of texts, and ids, in each way that a file may write them."""

    def __init__(
        self, texts: Iterable[str], *, ids: Iterable[str] = (), fewest_bytes: int = _KEY
    ) -> None:
        """Take what is looked for.

        Args:
            texts: found wherever they stand.
            ids: found where no letter or digit adjoins: "user-3" does not stand in "user-31".
                Those of one byte are left out.
            fewest_bytes: texts of fewer would be found everywhere, and are left out; at least 8.
        """
        fewest = max(fewest_bytes, _KEY)
        needles: set[_Needle] = {(f, False) for t in texts for f in _forms(t) if len(f) >= fewest}
        needles |= {(f, len(f) <= _MOST) for i in ids for f in _forms(i) if len(f) >= _SHORTEST}
        # By how many of their first bytes are compared at once, then by these bytes as a number.
        self._needles: dict[int, dict[int, list[_Needle]]] = {}
        for needle, alone in sorted(needles):
            same = self._needles.setdefault(min(len(needle), _KEY), {})
            key = int.from_bytes(needle[:_KEY], "little")
            same.setdefault(key, []).append((needle[:_MOST], alone))
        self._keys = {
            size: np.array(sorted(keys), np.uint64) for size, keys in self._needles.items()
        }
        # Most places are ruled out by two bytes, without a search among the keys.
        self._begins = np.zeros(1 << 16, dtype=bool)
        for keys in self._keys.values():
            self._begins[(keys & np.uint64(0xFFFF)).astype(np.int64)] = True

    def found_in(self, blocks: Iterable[bytes]) -> bool:
        """Tell whether anything that is looked for stands in bytes that come block by block."""
        if not self._needles:
            return False
        rest = b"\0"
        for block in _cut(blocks):
            seen = rest + block
            for place, needles in self._places(seen):
                if any(_stands(seen, place, needle) for needle in needles):
                    return True
            # What begins in the first bytes of the rest was seen whole, with what adjoins it.
            rest = seen[-(_BEFORE + _MOST + _KEY) :]
        return False

    def _places(self, seen: bytes) -> Iterator[tuple[int, list[_Needle]]]:
        for shift in range(_KEY):
            count = (len(seen) - shift) // _KEY
            if count <= 0:
                return
            words = np.frombuffer(seen, dtype="<u8", count=count, offset=shift)
            (maybe,) = self._begins[(words & np.uint64(0xFFFF)).astype(np.int64)].nonzero()
            for size, keys in self._keys.items():
                found = words[maybe] & np.uint64((1 << 8 * size) - 1)
                for one in _known(found, keys):
                    yield int(maybe[one]) * _KEY + shift, self._needles[size][int(found[one])]


def _known(found: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return which of some numbers are among the keys, which are sorted."""
    places = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
    known: npt.NDArray[np.int64] = (keys[places] == found).nonzero()[0]
    return known


def _stands(seen: bytes, place: int, needle: _Needle) -> bool:
    looked_for, alone = needle
    if not seen.startswith(looked_for, place):
        return False
    end = place + len(looked_for)
    if not alone:
        return True
    if place == 0 or end == len(seen):  # was seen before, or will be with the next block
        return False
    before, after = seen[max(place - _BEFORE, 0) : place], seen[end : end + 1]
    free = not before[-1:].isalnum() or _ESCAPE.search(before) is not None
    return free and not after.isalnum()


def _forms(text: str) -> Iterator[bytes]:
    """Yield a text as plain files, JSON, HTML and CSV write it, its white space folded or not."""
    for one in {text, " ".join(text.split())}:
        escaped = html.escape(one)
        yield one.encode()
        for ascii_alone in (True, False):
            yield json.dumps(one, ensure_ascii=ascii_alone)[1:-1].encode()
        yield escaped.encode()
        yield escaped.replace("&quot;", "&#34;").replace("&#x27;", "&#39;").encode()
        yield html.escape(one, quote=False).encode()
        yield one.replace('"', '""').encode()


def _cut(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield bytes in blocks that are not too large; after the last come those that end a word."""
    last = b""
    for block in blocks:
        for start in range(0, len(block), _BLOCK):
            if last:
                yield last
            last = block[start : start + _BLOCK]
    yield last + b"\0" * _KEY
