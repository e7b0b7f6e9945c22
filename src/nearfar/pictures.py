"""How every picture is drawn and written: equal drawings give equal files, on any paper."""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_SALT: Any = {"svg.hashsalt": "nearfar"}  # else the names of parts within a file are random
# Neither a date, which would make equal pictures differ, nor links to vocabularies.
_NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))

# Mid tones: each stands out from white as well as from near-black.
BASE, TUNED, WRONG, INK = "#8794a8", "#0f9d8f", "#d97a34", "#7d8590"
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def save_svg(figure: Figure, place: Path | IO[Any], *, transparent: bool = False) -> None:
    """Write a figure as SVG, to a path or an open file."""
    with mpl.rc_context(_SALT), warnings.catch_warnings():
        # Text stays text: whoever shows it has the letters.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(place, format="svg", metadata=_NOTHING, transparent=transparent)


def svg(
    draw: Callable[[Sequence[Axes]], None],
    *,
    columns: int,
    height: float = 3.2,
    share_y: bool = False,
) -> str:
    """Return a picture for a page: nothing behind it, in colours for light and dark.

    Args:
        draw: is given the axes, one a column.
        columns: how many.
        height: in inches; the picture is 9 wide.
        share_y: whether all columns have one scale.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots(1, columns, squeeze=False, sharey=share_y)[0]
        for ax in axes:
            ax.patch.set_alpha(0)
        draw(list(axes))
        out = io.StringIO()
        save_svg(figure, out)
    text = out.getvalue()
    return text[text.index("<svg") :]
