"""How every picture is written: equal drawings give equal files, with no date and no links."""

from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
from matplotlib.figure import Figure

_SALT: Any = {"svg.hashsalt": "nearfar"}  # else the names of parts within a file are random
# Neither a date, which would make equal pictures differ, nor links to vocabularies.
_NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def save_svg(figure: Figure, place: Path | IO[Any], *, transparent: bool = False) -> None:
    """Write a figure as SVG, to a path or an open file."""
    with mpl.rc_context(_SALT):
        figure.savefig(place, format="svg", metadata=_NOTHING, transparent=transparent)
