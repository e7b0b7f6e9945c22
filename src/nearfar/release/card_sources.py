"""What a card says of where a model comes from: data with its licences, and the recipe."""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from nearfar.lineage.things import Lineage, Thing
from nearfar.release.markdown import code, plain

_HUB = re.compile(r"hub:([\w.-]+/[\w.-]+)")
_MOST_LINES = 60  # of the walk back
_FACTS = ("steps", "best_step", "best_score_on_dev", "base_space", "tasks", "training")


def hub_datasets(lineage: Lineage | None) -> list[str]:
    """Return the ids of the data sets on the hub that a model came from."""
    paths = [str(one.facts.get("path", "")) for one in _things(lineage, "source")]
    found = {match[1] for path in paths if (match := _HUB.match(path))}
    return sorted(found)


def sources(lineage: Lineage | None) -> Iterator[str]:
    """Yield the data, its licences and origins, and the walk back from the model to it."""
    datasets = [one for one in _things(lineage, "dataset") if "rows" in one.facts]
    if lineage is None or not lineage.things:
        yield (
            "It is not known here what the model learned from: it was not trained by nearfar, or "
            "the datasets were not in the workspace that was released from."
        )
        return
    for one in datasets:
        yield from _dataset(one)
    yield "From the model back to its sources:"
    yield ""
    lines = list(_walk(lineage))
    yield from lines[:_MOST_LINES]
    if (more := len(lines) - _MOST_LINES) > 0:
        yield f"- and {more:,} more; `nearfar lineage` shows all of them"


def _dataset(thing: Thing) -> Iterator[str]:
    facts = thing.facts
    rows = ", ".join(f"{count:,} {plain(name)}" for name, count in facts["rows"].items())
    yield f"Dataset {code(facts['digest'])}: {rows}. Licence: {plain(facts['licence'])}."
    yield ""
    kinds: dict[str, list[int]] = {}
    for origin in facts.get("origins", ()):
        counts = kinds.setdefault(str(origin["kind"]), [0, 0])
        counts[0] += origin["answers"]
        counts[1] += origin["no_answers"]
    for kind, (answers, others) in kinds.items():
        yield f"- {answers:,} answers and {others:,} judged not to be, {plain(kind)}"
    if kinds:
        yield ""


def _walk(lineage: Lineage) -> Iterator[str]:
    for depth, role, thing, again in lineage.walk():
        said = f"{plain(role)} " if role else ""
        state = f" ({plain(thing.state)})" if thing.state else ""
        made = f", made by {plain(thing.making.kind)}" if thing.making and not again else ""
        yield f"{'  ' * depth}- {said}{_label(thing)}{state}{made}{' (as above)' if again else ''}"


def _label(thing: Thing) -> str:
    """Name a thing without the folders of whoever made it."""
    if thing.kind != "source":
        return plain(thing.label)
    path = str(thing.facts.get("path", ""))
    name = path if _HUB.match(path) else PurePath(path).name
    return plain(f"{thing.facts.get('kind', 'source')} {name}")


def recipe(folder: Path) -> Iterator[str]:
    """Yield how the model was trained, as its own folder says it."""
    try:
        facts = json.loads((folder / "nearfar.json").read_text(encoding="utf-8"))
        known = {name: facts[name] for name in _FACTS if name in facts}
    except (OSError, ValueError, TypeError):
        known = {}
    if not known:
        yield "The model does not say how it was trained: it was not trained by nearfar."
        return
    yield "```json"
    yield json.dumps(known, indent=1)  # ASCII, and no line of it can close the block
    yield "```"


def _things(lineage: Lineage | None, kind: str) -> list[Any]:
    return [one for one in lineage.things.values() if one.kind == kind] if lineage else []
