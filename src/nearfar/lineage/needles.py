"""Many texts looked for in many bytes at once, whatever the bytes are."""

import html
import json
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

_KEY = 8  # bytes: one machine word, compared at every place of a block
_MOST = 256  # bytes of a text that are looked for; where they stand, the text stands
_BLOCK = 4 << 20


class Needles:
    """The beginnings of texts, in each way that a file may write them."""

    def __init__(self, texts: Iterable[str], *, fewest_bytes: int = _KEY) -> None:
        """Take the texts; those of fewer bytes would be found everywhere, and are left out."""
        self._needles: dict[int, list[bytes]] = {}
        for needle in {form for text in texts for form in _forms(text)}:
            if len(needle) >= max(fewest_bytes, _KEY):
                key = int.from_bytes(needle[:_KEY], "little")
                self._needles.setdefault(key, []).append(needle[:_MOST])
        self._keys = np.array(sorted(self._needles), dtype=np.uint64)
        # Most places are ruled out by two bytes, without a search among the keys.
        self._begins = np.zeros(1 << 16, dtype=bool)
        self._begins[(self._keys & np.uint64(0xFFFF)).astype(np.int64)] = True

    def found_in(self, blocks: Iterable[bytes]) -> bool:
        """Tell whether any of the texts stands in bytes that come block by block."""
        if not len(self._keys):
            return False
        rest = b""
        for block in _cut(blocks):
            seen = rest + block
            for place, key in self._places(seen):
                if any(seen.startswith(needle, place) for needle in self._needles[key]):
                    return True
            rest = seen[-_MOST:]
        return False

    def _places(self, seen: bytes) -> Iterator[tuple[int, int]]:
        for shift in range(_KEY):
            count = (len(seen) - shift) // _KEY
            if count <= 0:
                return
            words = np.frombuffer(seen, dtype="<u8", count=count, offset=shift)
            (maybe,) = self._begins[(words & np.uint64(0xFFFF)).astype(np.int64)].nonzero()
            yield from _known(words, maybe, self._keys, shift)


def _known(
    words: npt.NDArray[np.uint64],
    maybe: npt.NDArray[np.int64],
    keys: npt.NDArray[np.uint64],
    shift: int,
) -> Iterator[tuple[int, int]]:
    found = words[maybe]
    places = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
    for one in (keys[places] == found).nonzero()[0]:
        yield int(maybe[one]) * _KEY + shift, int(found[one])


def _forms(text: str) -> Iterator[bytes]:
    """Yield a text as plain files, JSON and HTML write it."""
    yield text.encode()
    for ascii_alone in (True, False):
        yield json.dumps(text, ensure_ascii=ascii_alone)[1:-1].encode()
    yield html.escape(text).encode()


def _cut(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _BLOCK):
            yield block[start : start + _BLOCK]
