"""The sheet of `nearfar label` in a terminal: one pair at a time, single keys."""

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from nearfar.cli.keys import END, Keyboard

if TYPE_CHECKING:
    from nearfar.release.labelling import Labeller, Standing
    from nearfar.release.queue import Item
    from nearfar.release.texts import Texts


def run_sheet(
    labeller: "Labeller", texts: "Texts", keyboard: Keyboard, console: Console
) -> "Standing":
    """Show pairs and take marks, until all are marked or the person stops; return how far it is."""
    from nearfar.release.marks import SCALES

    most = SCALES[labeller.scale]
    note, message, last = "", "", None
    while (item := labeller.current()) is not None:
        if last is None or item.pair != last.pair:
            opened, last, note, since = False, item, "", time.monotonic()
        _show(console, labeller, texts, item, opened=opened, message=message, note=note)
        message = ""
        key = keyboard.key().lower()
        seconds = time.monotonic() - since
        if key == "y" and most == 1:
            key = "1"
        if key in ("q", END):
            break
        if key.isascii() and key.isdigit() and int(key) <= most:
            message = labeller.mark(item.pair, int(key), seconds=seconds, note=note) or ""
        elif key == "s":
            labeller.skip(item.pair, seconds=seconds, note=note)
            last = None
        elif key == "u":
            taken = labeller.undo()
            message = "Taken back." if taken else "There is nothing to take back."
        elif key == "n":
            note = keyboard.line("note: ").strip()
        elif key == "m":
            opened = not opened
        elif key:
            message = f"{key!r} is no key here."
    return labeller.standing()


def _show(
    console: Console, labeller: "Labeller", texts: "Texts", item: "Item", *,
    opened: bool, message: str, note: str,
) -> None:  # fmt: skip
    from nearfar.release.marks import GRADES
    from nearfar.release.texts import harmless

    shown = texts.shown(item)
    if console.is_terminal:
        console.clear()
    console.print(Rule(Text(_progress(labeller.standing()), style="dim"), align="left"))
    console.print(Text(shown.query, style="bold"))
    if item.why:
        console.print(Text(harmless(item.why), style="dim"))
    console.print()
    document = Text()
    for words, hit in shown.parts if opened else shown.folded:
        document.append(words, style="black on yellow" if hit else "")
    console.print(document)
    if shown.more and not opened:
        console.print(Text(f"… {shown.more:,} more characters: m", style="dim"))
    console.print()
    grades = "  ".join(f"{n} {word}" for n, word in enumerate(GRADES[labeller.scale]))
    console.print(Text(f"{grades}  |  s skip  u take back  n note  m whole text  q stop"))
    for line in (f"note: {note}" if note else "", message):
        if line:
            console.print(Text(line, style="cyan"))


def _progress(standing: "Standing") -> str:
    said = f"{standing.done:,} of {standing.total:,}"
    if standing.skipped:
        said += f", {standing.skipped:,} skipped"
    if standing.seconds_per_mark is not None and standing.seconds_left is not None:
        minutes = max(1, round(standing.seconds_left / 60))
        said += f", {standing.seconds_per_mark:.0f} s each, about {minutes:,} min left"
    return said
