"""A finding in one sentence, with the numbers that decided."""

from nearfar.evaluation.measure import SHORT_NAMES
from nearfar.release.policy import ALL
from nearfar.release.verdict import Finding


def told(found: Finding) -> str:
    """Return a sentence about a metric on a cohort."""
    name = SHORT_NAMES.get(found.rule, found.rule)
    where = "over all queries" if found.cohort == ALL else f"for {found.cohort}"
    over = f"{found.queries:,} queries"
    if found.clusters != found.queries:
        over += f" in {found.clusters:,} groups"
    if found.kind == "floor":
        return f"{name} {where} is {found.candidate:.3f} ({over}); {_floor(found)}"
    change = f"{name} {where} changes by {found.difference:+.3f} ({over})"
    return f"{change}; {_change(found)}"


def _change(found: Finding) -> str:
    if found.outcome == "REGRESSION":
        return f"that is a loss, and hardly chance (p = {found.p:.2g} after Holm)."
    bound = f"it surely lies above {found.low:+.3f}"
    if found.outcome == "PASS":
        return f"{bound}, and may be as low as {found.bar:+.3f}."
    return f"{bound}, and that is not above {found.bar:+.3f}. {_more(found)}"


def _floor(found: Finding) -> str:
    if found.outcome == "REGRESSION":
        return f"it must reach {found.bar:.3f}, and surely does not (p = {found.p:.2g} after Holm)."
    bound = f"it surely lies above {found.low:.3f}"
    if found.outcome == "PASS":
        return f"{bound}, and must reach {found.bar:.3f}."
    return f"{bound}, and must reach {found.bar:.3f}. {_more(found)}"


def _more(found: Finding) -> str:
    return f"A clear answer needs about {found.needed:,} queries like these."
