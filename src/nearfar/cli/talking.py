"""How the command line speaks: bars for people, lines for logs, and Ctrl-C heard politely."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 15.0  # where no terminal can draw a bar


def say(sentence: str) -> None:
    """Print one sentence on standard error, so that results alone go to standard output."""
    print(sentence, file=sys.stderr, flush=True)


class Bars:
    """One bar for each kind of work; on something that is no terminal, a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Show how far the work is."""
        if self._console.is_terminal:
            self._draw(what, done, total, note)
        else:
            self._tell(what, done, total, note)

    def say(self, sentence: str) -> None:
        """Print one sentence above the bars."""
        if self._progress is None:
            say(sentence)
        else:
            self._progress.console.print(sentence, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._tasks = None, {}

    def _draw(self, what: str, done: int, total: int | None, note: str) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description:>24}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._progress.start()
        if what not in self._tasks or self._progress.tasks[self._tasks[what]].finished:
            self._tasks[what] = self._progress.add_task(what, total=total, note="")
        self._progress.update(self._tasks[what], completed=done, total=total, note=note)

    def _tell(self, what: str, done: int, total: int | None, note: str) -> None:
        now = time.monotonic()
        over = total is not None and done >= total
        if not over and now - self._told.setdefault(what, now) < _SECONDS_BETWEEN_LINES:
            return
        self._told[what] = now
        of = "" if total is None else f" of {total:,}"
        say(f"  {what}: {done:,}{of}{f' · {note}' if note else ''}")


@contextmanager
def bars() -> Iterator[Bars]:
    """Yield bars that give the terminal back at the end, whatever happens."""
    drawn = Bars()
    try:
        yield drawn
    finally:
        drawn.close()


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question the work can ask; the second one ends it at once."""
    asked = False

    def hear(*_: int | FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("\nStopping after this step; once more stops at once.")

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
