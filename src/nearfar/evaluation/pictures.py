"""Pictures of a report, as SVG that reads on light and on dark paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from nearfar.evaluation.evaluate import Evidence, Measured
from nearfar.evaluation.geometry import flat_map
from nearfar.evaluation.measure import Measure
from nearfar.evaluation.stages import Reranking
from nearfar.pictures import BASE, INK, TUNED, WRONG, svg

Floats = npt.NDArray[np.float64]


def training_curves(log: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the loss of each step and the score of each check on dev; None without a log."""
    steps = [row for row in log if row["kind"] == "step"]
    checks = [row for row in log if row["kind"] == "dev"]
    if not steps:
        return None

    def draw(axes: Sequence[Axes]) -> None:
        places = [row["step"] for row in steps]
        losses = np.array([row["loss"] for row in steps])
        axes[0].plot(places, losses, color=BASE, linewidth=0.8, alpha=0.6, label="each step")
        axes[0].plot(places, _smooth(losses), color=TUNED, linewidth=2, label="smoothed")
        axes[0].set(xlabel="step", ylabel="loss (nats)", title="Loss on training pairs")
        axes[0].legend()
        name = "ndcg_at_10_score"
        found = [(row["step"], row[name]) for row in checks if name in row]
        if found:
            axes[1].plot(*zip(*found, strict=True), color=TUNED, marker="o", linewidth=2)
        axes[1].set(xlabel="step", ylabel="nDCG@10", title="Checks on dev (a part of it)")

    return svg(draw, columns=2)


def cohort_bars(cohorts: Sequence[Measure], name: str = "ndcg_at_10_score") -> str | None:
    """Draw base and tuned of each cohort with their intervals; None without cohorts."""
    shown = [c for c in cohorts if c.name == name]
    if not shown:
        return None

    def draw(axes: Sequence[Axes]) -> None:
        for offset, color, label in ((-0.18, BASE, "base"), (0.18, TUNED, "tuned")):
            for place, cohort in enumerate(shown):
                found = getattr(cohort, label)
                if found is None:
                    continue
                axes[0].barh(place + offset, found.mean, 0.34, color=color, alpha=0.85,
                             label=label if place == 0 else None)  # fmt: skip
                if found.low is not None:
                    axes[0].plot([found.low, found.high], [place + offset] * 2, color=INK)
        labels = [f"{c.field.replace('.', ' ')} = {c.value}  (n {c.base.n})" for c in shown]
        # What stands between two dollars in a value would be read as a formula, often a bad one.
        axes[0].set_yticks(range(len(shown)), labels, parse_math=False)
        axes[0].invert_yaxis()
        axes[0].set(xlabel="nDCG@10, lines are 95 % intervals", xlim=(0, 1))
        axes[0].legend(loc="lower right")

    return svg(draw, columns=1, height=1.1 + 0.42 * len(shown))


def candidates_curve(found: Reranking | None) -> str | None:
    """Draw quality against candidates read, with what no reranker can pass; None without one."""
    if found is None:
        return None
    shown = found.depths
    places = range(len(shown))  # evenly spaced: most is won among the first

    def draw(axes: Sequence[Axes]) -> None:
        ceilings = [depth.ceiling.mean for depth in shown]
        axes[0].plot(places, ceilings, color=BASE, linestyle="--", label="best possible order")
        measures = [depth.measure("ndcg_at_10_score") for depth in shown]
        ndcg = [found.tuned or found.base for found in measures]
        axes[0].plot(places, [one.mean for one in ndcg], color=TUNED, marker="o", linewidth=2,
                     label="reranked")  # fmt: skip
        for place, one in zip(places, ndcg, strict=True):
            if one.low is not None and one.high is not None:
                axes[0].plot([place, place], [one.low, one.high], color=TUNED, alpha=0.5)
        axes[0].axhline(measures[0].base.mean, color=INK, linewidth=0.8, label="retrieval alone")
        axes[0].set_xticks(places, [f"{depth.candidates:,}" for depth in shown])
        axes[0].set(xlabel="candidates reranked, lines are 95 % intervals", ylabel="nDCG@10")
        axes[0].legend(loc="best")

    return svg(draw, columns=1)


def similarity_histograms(evidence: Evidence) -> str:
    """Draw how similar queries are to answers and to negatives, in each model's own space."""
    models = _models(evidence)

    def draw(axes: Sequence[Axes]) -> None:
        bins = np.linspace(-0.4, 1, 57).tolist()
        for ax, (name, model) in zip(axes, models, strict=True):
            alike = model.similarities
            for values, color, label in (
                (alike.negative.ravel(), WRONG, "pinned negatives"),
                (alike.positive, TUNED, "answers"),
            ):
                ax.hist(values, bins=bins, density=True, color=color, alpha=0.6, label=label)
            title = f"{name}: margin {alike.margins.mean():.3f}"
            ax.set(xlabel="cosine with the query", title=title, yticks=[])
            ax.spines["left"].set_visible(False)
            ax.legend(loc="upper left")

    return svg(draw, columns=len(models), share_y=True)


def maps(evidence: Evidence, points: int, seed: int) -> str:
    """Draw queries and their answers in the plane, a map for each space."""
    models = _models(evidence)

    def draw(axes: Sequence[Axes]) -> None:
        for ax, (name, model) in zip(axes, models, strict=True):
            queries, answers, _ = flat_map(model.embedded, points, seed=seed)
            for query, answer in zip(queries, answers, strict=True):
                ax.plot(*zip(query, answer, strict=True), color=INK, linewidth=0.4, alpha=0.5)
            ax.scatter(answers[:, 0], answers[:, 1], s=9, color=BASE, label="documents", zorder=2)
            ax.scatter(
                queries[:, 0], queries[:, 1], s=9, color=TUNED, label="their queries", zorder=3
            )
            ax.set(title=name, xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.legend(loc="lower left", markerscale=2)

    return svg(draw, columns=len(models), height=4.6)


def _models(evidence: Evidence) -> list[tuple[str, Measured]]:
    found = [("base", evidence.base)]
    return found if evidence.tuned is None else [*found, ("tuned", evidence.tuned)]


def _smooth(values: Floats) -> Floats:
    width = max(len(values) // 20, 1)
    padded = np.pad(values, (width - 1, 0), mode="edge")
    found: Floats = np.convolve(padded, np.ones(width) / width, "valid")
    return found
