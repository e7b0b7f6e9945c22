"""Draws how hard negatives are: the histogram of their margins."""

from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from nearfar.files import whole_file
from nearfar.mining.audit import Audit
from nearfar.pictures import save_svg


def draw_margins(audit: Audit, path: Path) -> None:
    """Write the histogram of margins as SVG; what scores above the answer is red."""
    with whole_file(path) as part:
        save_svg(_drawn(audit), part)


def _drawn(audit: Audit) -> Figure:
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    edges, counts = audit.margin_edges, audit.margin_counts
    colours = ["#c0392b" if right <= 0 else "#2c7fb8" for right in edges[1:]]
    widths = [right - left for left, right in pairwise(edges)]
    axes.bar(edges[:-1], counts, widths, align="edge", color=colours, edgecolor="white")
    axes.axvline(0, color="#555555", linewidth=1)
    chance = audit.mean_answer_score - audit.mean_random_score
    axes.axvline(chance, color="#555555", linewidth=1, linestyle="--")
    top = max(counts, default=0)
    axes.text(0, top, " the answer", va="top", color="#555555")
    axes.text(chance, top, " by chance", va="top", color="#555555")
    axes.set_xlabel("cosine of the answer minus cosine of the negative")
    axes.set_ylabel("negatives")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
