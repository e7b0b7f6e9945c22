"""verdict.html: the verdict with a picture, on one page that needs nothing beside itself."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from nearfar.evaluation.measure import NOTHING, SHORT_NAMES
from nearfar.files import whole_file
from nearfar.pages import template
from nearfar.pictures import BASE, INK, TUNED, WRONG, svg
from nearfar.release.markdown import line
from nearfar.release.verdict import Finding, Verdict

_COLOURS = {"PASS": TUNED, "REGRESSION": WRONG, "INSUFFICIENT": BASE}
_MOST_ROWS = 60  # of a picture; the table has all


def write_page(verdict: Verdict, path: Path) -> None:
    """Write the page, whole or not at all."""
    first, *rest = verdict.sentences()
    text = template("nearfar.release", "verdict.html").render(
        verdict=verdict,
        first=first,
        rest=rest,
        pictures=[picture for picture in map(changes_picture, _by_rule(verdict)) if picture],
        rows=[_cells(found) for found in verdict.findings],
    )
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def changes_picture(findings: Sequence[Finding]) -> str:
    """Draw the changes of one metric, a row a cohort: the mean, its lower bound, and the margin.

    Empty where there is none to draw. Of very many cohorts the worst are drawn.
    """
    shown = sorted(findings, key=lambda one: one.difference or 0.0)[:_MOST_ROWS][::-1]
    if not shown:
        return ""

    def draw(axes: Sequence[Axes]) -> None:
        ax = axes[0]
        for row, one in enumerate(shown):
            assert one.difference is not None
            assert one.low is not None
            colour = _COLOURS[one.outcome]
            ax.plot([one.low, one.difference], [row, row], color=colour, linewidth=2)
            ax.plot(one.low, row, marker="|", color=colour, markersize=9, markeredgewidth=2)
            ax.plot(one.difference, row, marker="o", color=colour)
        ax.axvline(0, color=INK, linewidth=0.8)
        bars = {one.bar for one in shown if one.bar is not None}
        for bar in bars:
            ax.axvline(bar, color=WRONG, linewidth=0.8, linestyle="--")
        names = [line(f"{one.cohort} ({one.queries:,})") for one in shown]
        ax.set_yticks(range(len(shown)), names, parse_math=False)  # "$" is a sign like others
        name = SHORT_NAMES.get(shown[0].rule, shown[0].rule)
        ax.set(
            title=f"{name}: candidate less baseline, and how low it may really be",
            xlabel="change; dashed: what a cohort may lose",
            ylim=(-0.7, len(shown) - 0.3),
        )

    return svg(draw, columns=1, height=1.2 + 0.28 * len(shown))


def _by_rule(verdict: Verdict) -> list[list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in verdict.findings:
        if one.kind == "change" and one.difference is not None:
            found.setdefault(one.rule, []).append(one)
    return list(found.values())


def _cells(one: Finding) -> dict[str, str]:
    def plain(number: float | None) -> str:
        return NOTHING if number is None else f"{number:.3f}"

    def signed(number: float | None) -> str:
        return NOTHING if number is None else f"{number:+.3f}"

    return {
        "outcome": one.outcome,
        "rule": SHORT_NAMES.get(one.rule, one.rule),
        "cohort": one.cohort,
        "queries": NOTHING if one.queries is None else f"{one.queries:,}",
        "baseline": plain(one.baseline),
        "candidate": plain(one.candidate),
        "difference": signed(one.difference),
        "low": signed(one.low),
        "bar": signed(one.bar),
        "p": NOTHING if one.p is None else f"{one.p:.2g}",
        "waived": one.waived,
    }
