"""The words of lineage: a thing, the making it came from, and who did that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nearfar
from nearfar.fingerprint import fingerprint
from nearfar.lineage.origins import Tally

Kind = Literal["model", "dataset", "index", "report", "source", "prompt"]
_MOST_AGENTS = 50  # annotators named for one dataset; the others are in its counts
_MACHINES = ("mined", "synthetic", "augmented")  # kinds of origin that no person gave


@dataclass(frozen=True, slots=True)
class Agent:
    """Who did something: nearfar, an annotator, a miner, a language model."""

    key: str
    label: str
    person: bool = False


NEARFAR = Agent("nearfar", f"nearfar {nearfar.__version__}")


def agents_of(tallies: list[Tally]) -> tuple[Agent, ...]:
    """Return nearfar, and whoever judged, mined or wrote the rows that were counted."""
    named = [(t.by, t.kind not in _MACHINES) for t in tallies if t.by][:_MOST_AGENTS]
    keys = {by: Agent(f"agent-{fingerprint({'by': by})}", by, person) for by, person in named}
    return (NEARFAR, *keys.values())


@dataclass(frozen=True, slots=True)
class Making:
    """What was done, with which settings, out of what, and by whom."""

    kind: str  # import, mine, teach, synthesise, derive, forget, train, index, evaluate
    facts: Mapping[str, Any]
    used: tuple[tuple[str, str], ...]  # the role and the key of each thing
    agents: tuple[Agent, ...]


@dataclass(slots=True)
class Thing:
    """A folder, a file or a prompt. What is not in the workspace has no folder."""

    key: str  # stable: made of digests, never of paths
    kind: Kind
    label: str
    folder: Path | None = None
    state: str = ""  # in words, where something is to be said: not here, changed since
    facts: dict[str, Any] = field(default_factory=dict)
    making: Making | None = None


@dataclass(slots=True)
class Lineage:
    """All things behind some, by key; a thing is listed once, however often it was used."""

    roots: list[str] = field(default_factory=list)
    things: dict[str, Thing] = field(default_factory=dict)

    def used_by(self, key: str) -> list[tuple[str, Thing]]:
        """Return what a thing was made of: the role of each, and the thing."""
        making = self.things[key].making
        return [] if making is None else [(role, self.things[k]) for role, k in making.used]

    def walk(self) -> Iterator[tuple[int, str, Thing, bool]]:
        """Yield depth, role, thing, and whether it was shown before, as a tree is printed."""
        shown: set[str] = set()
        waiting = [(0, "", self.things[root]) for root in reversed(self.roots)]
        while waiting:
            depth, role, thing = waiting.pop()
            again = thing.key in shown
            yield depth, role, thing, again
            shown.add(thing.key)
            if not again:
                below = self.used_by(thing.key)
                waiting += [(depth + 1, role, one) for role, one in reversed(below)]

    def to_json(self) -> dict[str, Any]:
        """Return everything, as `nearfar lineage --json` prints it."""
        return {"roots": self.roots, "things": [_thing_json(t) for t in self.things.values()]}


def _thing_json(thing: Thing) -> dict[str, Any]:
    making = thing.making
    return {
        "id": thing.key,
        "kind": thing.kind,
        "label": thing.label,
        "folder": None if thing.folder is None else str(thing.folder),
        "state": thing.state,
        "facts": thing.facts,
        "made_by": None if making is None else {
            "kind": making.kind,
            "facts": dict(making.facts),
            "used": [{"role": role, "id": key} for role, key in making.used],
            "agents": [agent.label for agent in making.agents],
        },
    }  # fmt: skip
