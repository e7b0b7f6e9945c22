"""How long work tells that it goes on: a function is called, and nobody here prints."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then from within long work; the command line draws a bar from it."""

    def __call__(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Say that `done` of `total` steps of `what` are done; total is None while unknown."""
        ...


def silent(what: str, done: int, total: int | None, note: str = "") -> None:
    """Say nothing."""
