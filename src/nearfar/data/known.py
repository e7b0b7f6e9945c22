"""What a writer remembers of the texts it has seen: about 90 bytes each, whatever their length."""

import hashlib
from typing import Literal

from nearfar.data.splits import split_of_query
from nearfar.fingerprint import content_id
from nearfar.records import SPLITS, Split

Table = Literal["documents", "queries"]
Key = bytes | str
_ID_LENGTH = 20  # of an id that is the hash of its content


class KnownTexts:
    """The ids of one table, and of each text enough to tell it from another.

    An id that is the hash of its text says already which text it is: then it is kept as its
    10 bytes, and nothing of the text. The first byte of what is kept is free for a small
    number: for documents, their split.
    """

    def __init__(self) -> None:
        self._kept: dict[Key, bytes] = {}

    def same(self, key: Key, print_: bytes) -> bool | None:
        """Tell whether an id names this text (True), another (False), or none yet (None)."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1:] == print_

    def keep(self, key: Key, print_: bytes, number: int = 0) -> None:
        """Remember a text."""
        self._kept[key] = _BYTE[number] + print_

    def number(self, key: Key) -> int:
        """Return the number kept with a text."""
        return self._kept[key][0]

    def only_numbers(self) -> None:
        """Forget the texts: each id is left with the number 0."""
        for key in self._kept:
            self._kept[key] = _BYTE[0]

    def set_number(self, key: Key, number: int) -> None:
        """Change the number of a text, after `only_numbers`."""
        self._kept[key] = _BYTE[number]

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)


_BYTE = [bytes([number]) for number in range(256)]  # one object each, however often it is kept


def key_of(id: str) -> Key:
    """Return what stands for an id in memory: half the length, if it is a hash in hex."""
    if len(id) == _ID_LENGTH:
        try:
            packed = bytes.fromhex(id)
        except ValueError:
            return id
        if packed.hex() == id:
            return packed
    return id


def id_of(key: Key) -> str:
    """Return the id that a key stands for.

    >>> id_of(key_of("00ff" * 5)), id_of(key_of("a"))
    ('00ff00ff00ff00ff00ff', 'a')
    """
    return key.hex() if isinstance(key, bytes) else key


def print_of(id: str, content: str) -> bytes:
    """Return 14 bytes that tell a text from others, or none if its id does so itself."""
    if len(id) == _ID_LENGTH and content_id(content) == id:
        return b""
    return hashlib.blake2b(content.encode(), digest_size=14).digest()


class QueryStates:
    """The split of each query that was not given one, and in which splits it was counted.

    Three bits say the split that its answers so far ask for, four in which splits it occurs.
    """

    def __init__(self, queries: KnownTexts) -> None:
        queries.only_numbers()
        self._queries = queries

    def answered(self, key: Key, split: Split) -> None:
        """Take note that a document of a split answers a query."""
        number = self._queries.number(key)
        code = 1 + SPLITS.index(split)
        if number and number != code:
            code = 1 + SPLITS.index(split_of_query({SPLITS[number - 1], split}))
        self._queries.set_number(key, code)

    def split(self, key: Key) -> Split:
        """Return where a query belongs; one without an answer teaches nothing, so aside."""
        code = self._queries.number(key) & 7
        return SPLITS[code - 1] if code else "aside"

    def first(self, key: Key, split: str) -> bool:
        """Tell whether a query is seen in a split for the first time."""
        number = self._queries.number(key)
        bit = 8 << SPLITS.index(split)
        self._queries.set_number(key, number | bit)
        return not number & bit
