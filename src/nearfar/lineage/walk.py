"""Lineage: from a model, a dataset, an index or a report back to all that made it.

A thing is made at most once, by a making that used other things and was done by agents. Things
are found by digest or space among the folders of a workspace, never by where they once stood.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile
from nearfar.fingerprint import fingerprint
from nearfar.lineage.origins import Tally, prompts_in, tally
from nearfar.lineage.parents import (
    FORGOTTEN,
    forgotten_since,
    kind_of,
    parents_of,
    spaces_in,
    teachers_in,
)
from nearfar.lineage.things import NEARFAR, Agent, Lineage, Making, Thing, agents_of
from nearfar.lineage.workspace import (
    NOT_HERE,
    Place,
    Workspace,
    digests_of,
    kept_its_base,
    latest_stages,
    scan,
    space_of,
)


def lineage(folder: Path, workspace: Workspace | None = None) -> Lineage:
    """Walk back from a folder to everything that made it.

    Args:
        folder: of a model, a dataset, an index or a report; or of a run, which has several.
        workspace: where parents are looked for. Default: the folder itself.

    Raises:
        BadFile: the folder is missing, damaged, or none of these.
    """
    if not folder.is_dir():
        raise BadFile(f"{folder}: expected a folder that nearfar made, found none there.")
    here = scan(folder)
    walker = _Walker(here if workspace is None else workspace.joined(here))
    roots = _roots(folder, here, walker)
    if not roots:
        raise BadFile(
            f"{folder}: expected a model, dataset, index, report or run that nearfar made, found "
            f"none of their files. {' '.join(here.skipped[:1])}".rstrip()
        )
    walker.result.roots = list(dict.fromkeys(roots))
    return walker.result


def _roots(folder: Path, here: Workspace, walker: "_Walker") -> list[str]:
    everything = [
        *((r.folder, walker.report, r) for r in here.reports),
        *((i.folder, walker.index, i) for i in here.indexes),
        *((m.folder, walker.model, m) for m in here.models),
        *((m.folder, walker.reranker, m) for m in here.rerankers),
        *((d.folder, walker.dataset, d) for d in here.datasets),
    ]
    latest = latest_stages(folder)
    found = []
    for place, see, what in everything:
        # The folder itself, or what a run or a stage keeps within it; of a run, what is latest.
        inside = place.relative_to(folder).parts
        if not inside or (len(inside) < 3 and (latest is None or inside[0] in latest)):
            found.append((len(inside), see(what)))  # type: ignore[operator]
    if any(depth == 0 for depth, _ in found):
        return [key for depth, key in found if depth == 0]
    keys = [key for _, key in found]
    below = {one.key for key in walker.result.things for _, one in walker.result.used_by(key)}
    return [key for key in keys if key not in below]


_ELSEWHERE = "trained elsewhere, or not here"


class _Walker:
    """Follows digests and spaces, each thing once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.result = Lineage()
        self._open: set[str] = set()  # being made right now: nothing can be its own parent

    def dataset(self, dataset: Dataset) -> str:
        """Take note of a dataset and of what it was made from, former states included."""
        earlier = [p for p in parents_of(dataset) if p.get("kind") == FORGOTTEN]
        first = [p for p in parents_of(dataset) if p.get("kind") != FORGOTTEN]
        digests = [*(str(p.get("digest")) for p in earlier), dataset.digest]
        for place, digest in enumerate(digests):
            key, now = f"dataset-{digest[:16]}", digest == dataset.digest
            if key in self.result.things or key in self._open:
                continue
            tallies = tally(dataset) if now else []
            thing = Thing(
                key, "dataset", f"dataset {digest[:8]}", dataset.folder if now else None,
                "" if now else "before something was forgotten",
                self._dataset_facts(dataset, digest, tallies),
            )  # fmt: skip
            if not now:
                thing.facts = {"digest": digest}
            agents = agents_of(tallies or (tally(dataset) if place == 0 else []))
            if place:
                removed = {"removed": earlier[place - 1].get("removed", {})}
                before = (("was", f"dataset-{digests[place - 1][:16]}"),)
                self._add(thing, Making("forget", removed, before, (NEARFAR,)))
            else:
                self._open.add(key)
                self._add(thing, self._made(first, tallies or tally(dataset), agents))
                self._open.discard(key)
        return f"dataset-{dataset.digest[:16]}"

    def _dataset_facts(self, dataset: Dataset, digest: str, tallies: list[Tally]) -> dict[str, Any]:
        manifest = dataset.manifest
        return {
            "digest": digest,
            "licence": manifest.get("licence", "unknown"),
            "rows": manifest.get("rows", {}),
            "splits": manifest.get("splits", {}),
            "origins": [found.to_json() for found in tallies],
        }

    def _made(
        self, parents: list[dict[str, Any]], tallies: list[Tally], agents: tuple[Agent, ...]
    ) -> Making | None:
        used: list[tuple[str, str]] = []
        facts: list[dict[str, Any]] = []
        for parent in parents:
            rest = {k: v for k, v in parent.items() if k not in ("kind", "path", "digest")}
            if parent.get("kind") == "prompt":
                used.append(("prompted with", self._prompt(str(parent.get("path")), rest)))
                continue
            if parent.get("digest"):
                used.append(
                    (
                        "made from",
                        self._dataset_by(str(parent["digest"]), str(parent.get("path", ""))),
                    )
                )
            else:
                used.append(("read", self._source(parent)))
                rest.pop("sha256", None)
            teachers = teachers_in(rest)
            role = "candidates of" if teachers else "mined with"
            used += [("scored by", self._teacher(one)) for one in teachers]
            used += [(role, self._model_of(space)) for space in spaces_in(rest)]
            used += [("prompted with", self._prompt(hash_)) for hash_ in prompts_in(rest)]
            facts += [rest] if rest else []
        for prompt in dict.fromkeys(p for found in tallies for p in found.prompts):
            used.append(("prompted with", self._prompt(prompt)))
        used = list(dict.fromkeys(used))
        if not used:
            return None
        return Making(kind_of(parents), {"settings": facts}, tuple(used), agents)

    def _dataset_by(self, digest: str, path: str = "") -> str:
        key = f"dataset-{digest[:16]}"
        if key in self._open:
            raise BadFile(
                f"Expected every dataset to be made of others, found that {digest} is behind "
                "itself. A manifest.json or nearfar.json was changed by hand; make it again."
            )
        if key not in self.result.things:
            found = self.workspace.dataset(digest)
            if found is not None:
                self.dataset(found)
        if key not in self.result.things:
            facts = {"digest": digest, "path": path}
            self._add(Thing(key, "dataset", f"dataset {digest[:8]}", state=NOT_HERE, facts=facts))
        return key

    def _source(self, parent: Mapping[str, Any]) -> str:
        kind, path = str(parent.get("kind", "source")), str(parent.get("path", ""))
        said = str(parent.get("sha256", ""))
        key = f"source-{fingerprint(dict(parent))}"
        if key not in self.result.things:
            found, state = self.workspace.source(path, said if "files" not in parent else "")
            self._add(Thing(key, "source", f"{kind} {path}", found, state, dict(parent)))
        return key

    def model(self, model: Place) -> str:
        """Take note of a model and of what it has learned from."""
        key = f"model-{fingerprint(dict(model.facts))}"
        if key in self.result.things or key in self._open:
            return key
        self._open.add(key)
        used = [("learned from", self._dataset_by(digest)) for digest in digests_of(model)]
        base = str(model.facts.get("base_space", ""))
        used.append(("began as", self._model_of(base, str(model.facts.get("base", "")))))
        tasks = [task for task in model.facts.get("tasks", []) if isinstance(task, dict)]
        teachers = dict.fromkeys(str(task["teacher"]) for task in tasks if task.get("teacher"))
        used += [("taught by", self._model_of(space)) for space in teachers]
        known = {name: value for name, value in model.facts.items() if name not in ("space",)}
        facts = {"space": space_of(model), **known}
        made = Making("train", {k: facts[k] for k in ("training", "tasks", "steps") if k in facts},
                      tuple(used), (NEARFAR,))  # fmt: skip
        thing = Thing(key, "model", f"model in space {space_of(model)[:8]}", model.folder)
        thing.facts = {k: v for k, v in facts.items() if k not in ("training", "tasks")}
        if kept_its_base(model):
            thing.state = "training never beat its base"
        elif self._forgot_since(model):
            thing.state = "learned what was forgotten since"
        self._add(thing, made)
        self._open.discard(key)
        return key

    def reranker(self, place: Place) -> str:
        """Take note of a cross-encoder that was trained, and of what it has learned from."""
        name = str(place.facts["reranker"])
        if (key := f"reranker-{name}") not in self.result.things:
            used = [("learned from", self._dataset_by(digest)) for digest in digests_of(place)]
            how = {k: place.facts[k] for k in ("training", "tasks", "steps") if k in place.facts}
            thing = Thing(key, "model", f"reranker {name[:8]}", place.folder)
            thing.facts = {k: v for k, v in place.facts.items() if k not in ("training", "tasks")}
            if self._forgot_since(place):
                thing.state = "learned what was forgotten since"
            self._add(thing, Making("train", how, tuple(used), (NEARFAR,)))
        return key

    def _teacher(self, said: Mapping[str, str]) -> str:
        """Take note of who scored: what was trained here, or else as the manifest names it."""
        found = self.workspace.reranker(said["fingerprint"])
        if found is not None:
            return self.reranker(found)
        if (key := f"reranker-{said['fingerprint']}") not in self.result.things:
            kind, name = said.get("kind", "teacher"), said.get("name", said["fingerprint"][:8])
            state = "" if kind == "language model" else _ELSEWHERE
            self._add(Thing(key, "model", f"{kind} {name}", state=state, facts=dict(said)))
        return key

    def _forgot_since(self, model: Place) -> bool:
        return any(
            (found := self.workspace.dataset(digest)) and forgotten_since(found, digest)
            for digest in digests_of(model)
        )

    def _model_of(self, space: str, name: str = "") -> str:
        found = self.workspace.model(space, moved=True)
        if found is not None and f"model-{fingerprint(dict(found.facts))}" not in self._open:
            return self.model(found)
        return self._unknown_model(space, name)

    def _unknown_model(self, space: str, name: str = "") -> str:
        key = f"space-{space}"
        if key not in self.result.things:
            label = f"model {name or f'in space {space[:8]}'}"
            self._add(Thing(key, "model", label, state=_ELSEWHERE, facts={"space": space}))
        return key

    def index(self, index: Place) -> str:
        """Take note of an index."""
        dataset = index.facts["dataset"]
        digest = str(dataset.get("digest", "")) if isinstance(dataset, dict) else str(dataset)
        key = f"index-{fingerprint(dict(index.facts))}"
        if key not in self.result.things:
            space = space_of(index)
            used = (("holds", self._dataset_by(digest)), ("vectors of", self._any_model(space)))
            facts = {k: v for k, v in index.facts.items() if k not in ("space", "dataset")}
            thing = Thing(key, "index", f"index of {facts.get('count', '?')} documents",
                          index.folder, facts=facts)  # fmt: skip
            self._add(thing, Making("index", {"space": space}, used, (NEARFAR,)))
        return key

    def report(self, report: Place) -> str:
        """Take note of a report."""
        facts = {name: report.facts.get(name) for name in ("split", "documents", "settings")}
        spaces = [report.facts.get(name) for name in ("base", "tuned")]
        named = [str(s.get("fingerprint", "")) for s in spaces if isinstance(s, dict)]
        about = {"dataset": report.facts["dataset"], "spaces": named, **facts}
        key = f"report-{fingerprint(about)}"
        if key not in self.result.things:
            used = [("measured on", self._dataset_by(str(report.facts["dataset"])))]
            used += [("measured", self._any_model(space)) for space in dict.fromkeys(named)]
            thing = Thing(key, "report", f"report on {facts['split']}", report.folder, facts=facts)
            self._add(thing, Making("evaluate", {}, tuple(used), (NEARFAR,)))
        return key

    def _any_model(self, space: str) -> str:
        found = self.workspace.model(space)
        return self._unknown_model(space) if found is None else self.model(found)

    def _prompt(self, hash_: str, facts: Mapping[str, Any] | None = None) -> str:
        key = f"prompt-{hash_}"
        if key not in self.result.things:
            said = {"hash": hash_, **(facts or {})}
            self._add(Thing(key, "prompt", f"prompt {hash_[:16]}", facts=said))
        return key

    def _add(self, thing: Thing, making: Making | None = None) -> None:
        thing.making = making
        self.result.things[thing.key] = thing
