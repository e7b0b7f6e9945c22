"""Reads CSV row by row, each with its line, and finds its feet again after a bad one."""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from nearfar.data.lines import BYTES_PER_LINE, numbered_lines
from nearfar.data.rejects import REFUSE, BadRow, Rejects


def csv_rows(
    path: Path, rejects: Rejects = REFUSE, name: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row of a CSV file with the line it starts on.

    A row whose quotation never ends would swallow the rest of the file. It is given up
    after 16 MiB or at the end; set aside is its first line alone, and the lines after it
    are read again.

    Raises:
        BadFile: see `numbered_lines`.
        BadRecord: a quotation is not closed, or goes on after its end.
    """
    name = name or path.name
    # The csv module refuses cells above 128 KiB until told otherwise.
    csv.field_size_limit(BYTES_PER_LINE)
    lines = _Lines(numbered_lines(path, rejects, name))
    reader = csv.reader(lines, strict=True)
    while True:
        lines.taken.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            start, first = lines.taken[0]
            problem = BadRow(
                "not CSV",
                f"{path}:{start}: not CSV ({error}). Put texts with commas, quotation marks or "
                "line ends in double quotes, and double the quotes inside.",
            )
            rejects.take(problem, f"{name}:{start}", first, line=True)
            lines.give_back()
            reader = csv.reader(lines, strict=True)
            continue
        if row is None:
            return
        if row and lines.whole:
            yield lines.taken[0][0], row
        elif row:
            start, first = lines.taken[0]
            problem = BadRow(
                "line inside set aside",
                f"{path}:{start}: a line of this row could not be read and was set aside, so the "
                "row is not whole. Correct that line.",
            )
            rejects.take(problem, f"{name}:{start}", first, line=True)


class _Lines:
    """Lines that remember what the row at hand has used, so that it can be given back."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._back: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append((number, line))
        return line

    @property
    def whole(self) -> bool:
        """Tell whether no line is missing among those of the row at hand."""
        return self.taken[-1][0] - self.taken[0][0] == len(self.taken) - 1

    def give_back(self) -> None:
        """Let all lines but the first be read once more."""
        self._back.extendleft(reversed(self.taken[1:]))
