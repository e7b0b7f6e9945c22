"""A comparison for people: cells of its tables, Markdown, and one page that needs nothing else."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nearfar.evaluation.amounts import amount
from nearfar.evaluation.comparing import LEVEL, Compared, Comparison, Difference
from nearfar.evaluation.intervals import FEWEST
from nearfar.evaluation.measure import NOTHING, SHORT_NAMES, span
from nearfar.files import whole_file
from nearfar.pages import template

FORMAT = 1
_TIMES = "A query is timed alone, encoded and searched, on the machine that ran this."


@dataclass(frozen=True, slots=True)
class _Cost:
    title: str
    key: str
    shown: Callable[[float], str]


_COSTS = (
    _Cost("ms a query", "median_seconds", lambda found: _short(found * 1_000)),
    _Cost("ms, 95 of 100 within", "p95_seconds", lambda found: _short(found * 1_000)),
    _Cost("s to read 1,000 documents", "encoding_seconds_per_1000_documents",
          lambda found: _short(found)),
    _Cost("bytes kept a document", "bytes_per_document", lambda found: f"{found:,.0f}"),
    _Cost("dimensions", "dimensions", lambda found: f"{found:,.0f}"),
    _Cost("million parameters", "parameters", lambda found: _short(found / 1e6)),
    _Cost("MB of files", "download_bytes", lambda found: _short(found / 1e6)),
    _Cost("tokens a query", "tokens_per_query", lambda found: _short(found)),
    _Cost("tokens a document", "tokens_per_document", lambda found: _short(found)),
    _Cost("$ a million tokens", "usd_per_million_tokens", lambda found: f"{found:g}"),
    _Cost("$ for 1,000 queries", "usd_per_1000_queries", lambda found: f"{found:.3g}"),
    _Cost("$ for 1,000 documents", "usd_per_1000_documents", lambda found: f"{found:.3g}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as people read them; a row begins with its name."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdicts: tuple[tuple[str, ...], ...] = ()  # of each cell: better, worse, or nothing


def titled(metric: str) -> str:
    """Return what people call a metric."""
    return SHORT_NAMES.get(metric, metric)


def headline(comparison: Comparison) -> str:
    """Say in one sentence which systems are better than the reference, and which are worse."""
    metric = comparison.metrics[0]
    sides: dict[str, list[str]] = {"better": [], "worse": [], "unclear": []}
    order = sorted(comparison.systems, key=lambda one: -one.means[metric].mean)
    for one in order:
        if one.name != comparison.reference:
            found = one.differences[metric]
            shown = f"{one.name} ({found.estimate.mean:+.3f})"
            sides[found.verdict].append(shown)
    said = [
        f"{words} {', '.join(sides[side])}"
        for side, words in (
            ("better", "better:"),
            ("worse", "worse:"),
            ("unclear", "no difference that holds:"),
        )
        if sides[side]
    ]
    reference = next(one for one in comparison.systems if one.name == comparison.reference)
    at = f"{reference.name} reaches {titled(metric)} {span(reference.means[metric])}"
    return f"{at}; {'; '.join(said)}." if said else f"{at}."


def quality_table(comparison: Comparison) -> Table:
    """Return a row a system: its means with their intervals, the best first."""
    titles = ("system", *map(titled, comparison.metrics))
    rows = [(one.name, *(span(one.means[m]) for m in comparison.metrics))
            for one in _best_first(comparison)]  # fmt: skip
    return Table(titles, tuple(rows))


def difference_title(comparison: Comparison) -> str:
    """Return what stands above the table of differences."""
    return f"Differences to {comparison.reference}"


def difference_table(comparison: Comparison) -> Table:
    """Return a row for each other system: differences to the reference; * where one holds."""
    rows, verdicts = [], []
    for one in _best_first(comparison):
        if one.name == comparison.reference:
            continue
        found = [one.differences[metric] for metric in comparison.metrics]
        rows.append((one.name, *map(_starred, found)))
        verdicts.append(("", *(d.verdict if d.holds else "" for d in found)))
    titles = ("system", *map(titled, comparison.metrics))
    return Table(titles, tuple(rows), tuple(verdicts))


def cost_table(comparison: Comparison) -> Table:
    """Return a row a cost, as far as it was measured or is known: a column for each system."""
    systems = _best_first(comparison)
    used = [cost for cost in _COSTS if any(cost.key in one.costs for one in systems)]
    rows = [(cost.title, *(_cost(one.costs, cost) for one in systems)) for cost in used]
    return Table(("cost", *(one.name for one in systems)), tuple(rows))


def cohort_table(comparison: Comparison) -> Table:
    """Return a row a cohort: the first metric of each system."""
    titles = ("cohort", "n", *(one.name for one in comparison.systems))
    rows = [(f"{row.field} = {row.value}", f"{row.n:,}", *map(span, row.means))
            for row in comparison.cohorts]  # fmt: skip
    return Table(titles, tuple(rows))


def about(comparison: Comparison) -> str:
    """Say what was measured, and how the tables are to be read."""
    groups = ""
    if comparison.clusters < comparison.queries:
        groups = f" in {amount(comparison.clusters, 'group')}"
    few = ""
    if comparison.queries < FEWEST:
        few = f" There are fewer than {FEWEST} queries: too few for intervals."
    queries, documents = amount(comparison.queries, "query"), comparison.documents
    return (
        f"{queries}{groups} of the {comparison.split} split, each against "
        f"{amount(documents, 'document')}. Brackets are 95 % intervals. * marks a difference "
        f"that holds after Holm's correction over the whole table, at {LEVEL:g}.{few}"
    )


def write_comparison(comparison: Comparison, folder: Path, notes: Sequence[str] = ()) -> None:
    """Write compare.json, compare.md and compare.html, each whole or not at all."""
    facts = {"format": FORMAT, **asdict(comparison), "notes": list(notes)}
    texts = {
        "compare.json": json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "compare.md": _markdown(comparison, notes),
        "compare.html": _page(comparison, notes),
    }
    for name, text in texts.items():
        with whole_file(folder / name) as part:
            part.write_text(text, encoding="utf-8")


def _best_first(comparison: Comparison) -> list[Compared]:
    metric = comparison.metrics[0]
    return sorted(comparison.systems, key=lambda one: -one.means[metric].mean)


def _starred(found: Difference) -> str:
    mean, *interval = span(found.estimate, sign=True).split(" ", 1)
    return " ".join([f"{mean}*" if found.holds else mean, *interval])


def _cost(costs: Mapping[str, float], cost: _Cost) -> str:
    return cost.shown(costs[cost.key]) if cost.key in costs else NOTHING


def _short(found: float) -> str:
    """Return a number with about three digits, and no power of ten."""
    return f"{found:,.{0 if found >= 100 else 1 if found >= 10 else 2}f}"


def _markdown(comparison: Comparison, notes: Sequence[str]) -> str:
    parts = [f"**{headline(comparison)}**", about(comparison), *notes]
    for title, table in _tables(comparison):
        heads = ["| " + " | ".join(map(_cell, table.titles)) + " |",
                 "|---" + "|---:" * (len(table.titles) - 1) + "|"]  # fmt: skip
        rows = ["| " + " | ".join(map(_cell, row)) + " |" for row in table.rows]
        parts += [f"## {title}", "\n".join(heads + rows)]
    return "\n\n".join([*parts, _TIMES]) + "\n"


def _cell(text: str) -> str:
    """Return it as a cell of Markdown shows it: a value of a cohort is anybody's text."""
    line = re.sub(r"([\\|*`])", r"\\\1", " ".join(text.split()))
    return line.replace("&", "&amp;").replace("<", "&lt;")


def _tables(comparison: Comparison) -> list[tuple[str, Table]]:
    named = [
        ("Quality", quality_table(comparison)),
        (difference_title(comparison), difference_table(comparison)),
        ("Costs", cost_table(comparison)),
        (f"{titled(comparison.metrics[0])} by cohort", cohort_table(comparison)),
    ]
    return [(title, table) for title, table in named if table.rows and len(table.titles) > 1]


def _page(comparison: Comparison, notes: Sequence[str]) -> str:
    return template("nearfar.evaluation", "compare.html").render(
        comparison=comparison, headline=headline(comparison), about=about(comparison),
        notes=notes, tables=_tables(comparison), times=_TIMES,
    )  # fmt: skip
