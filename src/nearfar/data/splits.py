"""Which records teach, which tune and which judge: decided by a hash, so it never drifts."""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from nearfar.errors import BadSetting
from nearfar.records import Split


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the groups goes to dev and to test; the rest is for training."""

    dev: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if not (self.dev >= 0 and self.test >= 0 and self.dev + self.test < 1):
            raise BadSetting(
                "The shares of dev and test must be 0 or more and leave something to train on "
                f"(their sum below 1), got dev = {self.dev} and test = {self.test}."
            )


def split_of_group(group: str, shares: Shares) -> Split:
    """Return where a group belongs. It depends on its name alone, never on its neighbours.

    >>> split_of_group("json", Shares()) == split_of_group("json", Shares())
    True
    """
    digest = hashlib.sha256(f"nearfar split 1:{group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64  # 0 to 1, even
    if place < shares.test:
        return "test"
    if place < shares.test + shares.dev:
        return "dev"
    return "train"


def split_of_query(splits_of_its_documents: AbstractSet[Split]) -> Split:
    """Return where a query belongs, given the splits of all documents that answer it.

    A query whose answers lie in two splits would carry one into the other, so it is set
    aside: more data can set a query aside, but never moves one from test to train.
    """
    return next(iter(splits_of_its_documents)) if len(splits_of_its_documents) == 1 else "aside"
