"""The picture of what smaller vectors cost: quality against dimension, and against bytes."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from nearfar.evaluation.curves import Curves, Point
from nearfar.pictures import BASE, INK, TUNED, svg


def curves_picture(curves: Curves | None) -> str | None:
    """Draw nDCG@10 against dimension and against bytes a vector, as SVG; None without curves."""
    if curves is None:
        return None
    full = curves.precisions[0].measure.base.mean

    def draw(axes: Sequence[Axes]) -> None:
        cut = [str(point.dimension) for point in curves.dimensions]
        rounded = [f"{p.name}\n{p.bytes_per_vector:,.0f} bytes" for p in curves.precisions]
        for ax, points, labels, line in (
            (axes[0], curves.dimensions, cut, "-"),
            (axes[1], curves.precisions, rounded, ""),
        ):
            ax.axhline(full, color=BASE, linestyle="--", linewidth=0.8, label="full vectors")
            _draw(ax, points, line)
            ax.set_xticks(range(len(points)), labels)
        axes[0].set(xlabel="first numbers kept (float32)", ylabel="nDCG@10",
                    title="Dimensions: meant for Matryoshka models")  # fmt: skip
        axes[1].set(title="Precisions, and 95 % of the change")
        axes[1].tick_params(axis="x", labelsize=7)
        axes[0].legend(loc="best")

    return svg(draw, columns=2, share_y=True)


def _draw(ax: Axes, points: Sequence[Point], line: str) -> None:
    """Draw means, each with the interval of its paired difference from the full vectors."""
    means = [(point.measure.tuned or point.measure.base).mean for point in points]
    ax.plot(range(len(points)), means, color=TUNED, marker="o", linewidth=2, linestyle=line)
    for place, point in enumerate(points):
        change, base = point.measure.difference, point.measure.base.mean
        if change is not None and change.low is not None and change.high is not None:
            ends = [base + change.low, base + change.high]
            ax.plot([place, place], ends, color=INK, linewidth=1)
