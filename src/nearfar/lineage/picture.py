"""A lineage as a picture: what it began with on the left, what came of it on the right."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from nearfar.files import whole_file
from nearfar.lineage.things import Lineage, Thing
from nearfar.pictures import save_svg

# Dark enough for white letters, and each stands out from white as well as from near-black.
_COLOURS = {
    "source": "#5f6b7e",
    "prompt": "#8459a8",
    "dataset": "#0b7a6f",
    "model": "#b05a1a",
    "index": "#2f6db5",
    "report": "#86701a",
}
_INK = "#7d8590"
_STYLE: Any = {"svg.fonttype": "none", "font.size": 9}
_WIDE, _HIGH = 2.8, 0.9  # inches from box to box
_HALF, _STEP = 0.4, 0.4  # half a box's width, and how much lower every other column stands
_LETTERS = 33  # of a line in a box


def draw_lineage(lineage: Lineage, path: Path) -> None:
    """Write the picture of a lineage as SVG, whole or not at all; equal lineages, equal files."""
    columns = _columns(lineage)
    height = max(len(column) for column in columns) + _STEP
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDE * len(columns), _HIGH * height + 0.2))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(height - 0.4, -0.6))
        axes.axis("off")
        places: dict[str, tuple[float, float]] = {}
        for x, column in enumerate(columns):
            # Every other column a little lower: an arrow that skips one then passes beside it.
            top = (height - _STEP - len(column)) / 2 + _STEP * (x % 2)
            places |= {key: (x, top + y) for y, key in enumerate(column)}
        for key, place in places.items():
            for _, used in lineage.used_by(key):
                _arrow(axes, places[used.key], place)
        for key, place in places.items():
            _box(axes, lineage.things[key], place)
        with whole_file(path) as part:
            save_svg(figure, part, transparent=True)


def _columns(lineage: Lineage) -> list[list[str]]:
    """Return keys by column: a thing stands to the right of all that it was made of."""
    depth: dict[str, int] = {}
    waiting = list(lineage.things)
    while waiting:
        left = []
        for key in waiting:
            used = [one.key for _, one in lineage.used_by(key)]
            if all(one in depth for one in used):
                depth[key] = 1 + max((depth[one] for one in used), default=-1)
            else:
                left.append(key)
        assert len(left) < len(waiting), "a thing was its own parent"
        waiting = left
    columns: list[list[str]] = [[] for _ in range(1 + max(depth.values()))]
    for key in lineage.things:
        columns[depth[key]].append(key)
    return columns


def _arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": _INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate(
        "", (end[0] - _HALF, end[1]), (begin[0] + _HALF, begin[1]), arrowprops=style, zorder=1
    )


def _box(axes: Axes, thing: Thing, place: tuple[float, float]) -> None:
    where = "" if thing.folder is None else str(thing.folder)
    made = "" if thing.making is None else f"by {thing.making.kind}"
    lines = [_fit(line) for line in (thing.label, where, thing.state or made) if line]
    corner = (place[0] - _HALF, place[1] - 0.32)
    box = FancyBboxPatch(
        corner, 2 * _HALF, 0.64, boxstyle="round,pad=0,rounding_size=0.04",
        facecolor=_COLOURS[thing.kind], edgecolor=_INK, linestyle="--" if thing.state else "-",
        zorder=2,
    )  # fmt: skip
    axes.add_patch(box)
    axes.text(
        *place, "\n".join(lines), ha="center", va="center", color="white", parse_math=False,
        zorder=3,
    )  # fmt: skip


def _fit(line: str) -> str:
    """Shorten a line: of words the end goes, of a path the beginning."""
    if len(line) <= _LETTERS:
        return line
    return f"{line[: _LETTERS - 3]}..." if " " in line else f"...{line[3 - _LETTERS :]}"
