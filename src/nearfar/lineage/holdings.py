"""From a document, a query, a source or a person to all that holds something of it."""

import json
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.errors import BadFile
from nearfar.fingerprint import content_id
from nearfar.lineage.matching import Held, Matcher, Wanted, match, text_name
from nearfar.lineage.parents import forgotten_since, former_digests
from nearfar.lineage.workspace import (
    TABLES,
    Place,
    Workspace,
    digests_of,
    kept_its_base,
    name_of,
    space_of,
)

PER_QUERY = "per_query.parquet"


@dataclass(frozen=True, slots=True)
class Learned:
    """A model that has learned from what was looked for, and how it came to."""

    model: Place
    how: str


@dataclass(slots=True)
class Holdings:
    """All in a workspace that holds something of what was looked for."""

    wanted: Wanted
    datasets: list[Held] = field(default_factory=list)
    indexes: list[tuple[Place, set[str]]] = field(default_factory=list)  # and its documents
    reports: list[tuple[Place, int]] = field(default_factory=list)  # and rows that name it
    checks: list[Place] = field(default_factory=list)  # that looked at a dataset which holds it
    stores: list[Path] = field(default_factory=list)  # with its tokens
    models: list[Learned] = field(default_factory=list)
    indexes_of_models: list[Place] = field(default_factory=list)  # vectors of these models
    texts: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)
    matched: set[Path] = field(default_factory=set)  # tables that were read row by row

    def __bool__(self) -> bool:
        return bool(self.datasets or self.indexes or self.reports or self.stores)

    @property
    def digests(self) -> set[str]:
        """Return the digests, past ones too, of the datasets that hold it."""
        return {d for h in self.datasets for d in (h.dataset.digest, *former_digests(h.dataset))}

    @property
    def ids(self) -> set[str]:
        """Return the ids of the texts that were found, in any dataset or index."""
        own = {id_ for held in self.datasets for id_ in held.documents | held.queries}
        return own | {id_ for _, ids in self.indexes for id_ in ids}

    def to_json(self) -> dict[str, Any]:
        """Return everything, as `nearfar lineage --of ... --json` prints it."""
        return {
            "datasets": [held.to_json() for held in self.datasets],
            "models": [
                {"folder": str(one.model.folder), "space": space_of(one.model), "how": one.how}
                for one in self.models
            ],
            "indexes": [
                {"folder": str(place.folder), "documents": len(ids)} for place, ids in self.indexes
            ],
            "indexes_of_models": [str(place.folder) for place in self.indexes_of_models],
            "reports": [
                {"folder": str(place.folder), "rows": rows} for place, rows in self.reports
            ],
            "token_stores": [str(path) for path in self.stores],
            "unreadable": self.unreadable,
        }


def find_holdings(
    workspace: Workspace,
    wanted: Wanted,
    *,
    known: Callable[[str], bool] | None = None,
) -> Holdings:
    """Look through a workspace.

    A text that stands under several ids, or in several datasets, is found under all of them:
    rounds are made until no new text turns up.

    Args:
        workspace: what was found by `scan`.
        wanted: what is looked for.
        known: tells of a text whether it was meant by an earlier, unfinished request.
    """
    found = Holdings(wanted)
    names: set[bytes] = set()
    while True:
        matcher = Matcher(wanted, _same(names, known))
        found.datasets, found.indexes, found.matched = [], [], set()
        found.unreadable = list(workspace.skipped)
        texts: set[str] = set()
        for dataset in workspace.datasets:
            try:
                held, own = match(dataset, matcher)
            except BadFile as error:
                found.unreadable.append(str(error))
                continue
            found.datasets += [held] if held else []
            found.matched |= {dataset.folder / f"{name}.parquet" for name in TABLES}
            texts |= own
        for index in workspace.indexes:
            try:
                ids, own = _match_index(index, matcher)
            except (OSError, pa.ArrowException, KeyError) as error:
                found.unreadable.append(f"{index.folder}: cannot be read as an index ({error})")
                continue
            found.indexes += [(index, ids)] if ids else []
            found.matched.add(index.folder / "documents.parquet")
            texts |= own
        new = {text_name(text) for text in texts}
        if new <= names:
            break
        names |= new
    found.texts = texts
    _find_the_rest(workspace, found)
    return found


def _same(names: set[bytes], known: Callable[[str], bool] | None) -> Callable[[str], bool] | None:
    if not names and known is None:
        return None
    seen = frozenset(names)
    return lambda text: text_name(text) in seen or (known is not None and known(text))


def _match_index(index: Place, matcher: Matcher) -> tuple[set[str], set[str]]:
    ids: set[str] = set()
    texts: set[str] = set()
    with pq.ParquetFile(index.folder / "documents.parquet") as file:
        for batch in file.iter_batches(4_096):
            some = batch.filter(matcher.texts(batch, Counter()))
            ids.update(some["id"].to_pylist())
            texts.update(some["content"].to_pylist())
    return ids, texts


def _find_the_rest(workspace: Workspace, found: Holdings) -> None:
    digests = found.digests
    present = {d for own in workspace.datasets for d in (own.digest, *former_digests(own))}
    ids = found.ids | found.wanted.ids
    for report in workspace.reports:
        digest = str(report.facts["dataset"])
        if digest in digests or digest not in present:
            rows = sum(rows_naming(path, ids) for path in tables_of(report))
            rows += len(_cohorts(report, ids))
            if rows or (digest in digests and (report.folder / "report.html").exists()):
                found.reports.append((report, rows))
    for check in workspace.checks:
        if str(check.facts["depends_on"].get("dataset")) in digests or _names(check, ids):
            found.checks.append(check)
    found.stores = [store for store in workspace.stores if _holds_tokens(store, found)]
    found.models = learned_from(workspace, found)
    spaces = {space_of(one.model) for one in found.models}
    found.indexes_of_models = [i for i in workspace.indexes if space_of(i) in spaces]


def tables_of(report: Place) -> list[Path]:
    """Return the tables of queries of a report: its own, and those of each system's scores."""
    return sorted(report.folder.rglob(PER_QUERY))


def rows_naming(path: Path, ids: Collection[str]) -> int:
    """Return how many rows of a table of queries name an id: asked, found, or of its cluster."""
    with pq.ParquetFile(path) as file:
        return sum(sum(names_any(batch, ids)) for batch in file.iter_batches(4_096))


def names_any(batch: pa.RecordBatch, ids: Collection[str]) -> list[bool]:
    """Return which rows of a table of queries name an id."""
    names = batch.schema.names
    lists = [batch[name].to_pylist() for name in names if name.endswith("hits")]
    single = [batch[name].to_pylist() for name in names if name in ("query_id", "cluster")]
    ids = set(ids)
    return [
        any(column[row] in ids for column in single)
        or any(not ids.isdisjoint(column[row]) for column in lists)
        for row in range(batch.num_rows)
    ]


def _cohorts(report: Place, ids: set[str]) -> list[Any]:
    cohorts = report.facts.get("cohorts", [])
    return [c for c in cohorts if isinstance(c, dict) and c.get("value") in ids]


def _names(place: Place, ids: set[str]) -> bool:
    text = json.dumps(place.facts.get("result"), ensure_ascii=False)
    return any(json.dumps(id_, ensure_ascii=False) in text for id_ in ids)


def _holds_tokens(store: Path, found: Holdings) -> bool:
    # A store calls a row by the beginning of its text's id, see training/store.py.
    names = [int(content_id(text)[:16], 16) for text in found.texts]
    try:
        with np.load(store / "rows.npz") as rows:
            return bool(np.isin(rows["content"], np.array(names, dtype=np.uint64)).any())
    except (OSError, ValueError, KeyError) as error:
        found.unreadable.append(f"{store}: cannot be read as tokens ({error})")
        return False


def learned_from(workspace: Workspace, found: Holdings) -> list[Learned]:
    """Return the models that learned from it, and those made of such models.

    A model that kept the weights of its base has learned nothing.
    """
    teaching = {
        digest: held
        for held in found.datasets
        if held.splits["train"]
        for digest in (held.dataset.digest, *former_digests(held.dataset))
    }
    learned: dict[Path, Learned] = {}
    trained = [*workspace.models, *workspace.rerankers]
    models = [model for model in trained if not kept_its_base(model)]
    for model in models:
        for digest in digests_of(model):
            held = teaching.get(digest)
            if held is not None:
                how = f"learned from {held.dataset.folder}"
                learned.setdefault(model.folder, Learned(model, how))
            elif _forgot(workspace, digest, found.wanted.request):
                how = "learned from it before it was forgotten"
                learned.setdefault(model.folder, Learned(model, how))
    grown = True
    while grown:
        spaces = {name_of(one.model): one.model.folder for one in learned.values()}
        grown = False
        for model in models:
            tasks = [task for task in model.facts.get("tasks", []) if isinstance(task, dict)]
            above = {"began as": [model.facts.get("base_space")],
                     "was taught by": [task.get("teacher") for task in tasks]}  # fmt: skip
            for how, from_ in above.items():
                source = next((spaces[s] for s in from_ if s in spaces), None)
                if source is not None and model.folder not in learned:
                    learned[model.folder] = Learned(model, f"{how} {source}")
                    grown = True
    return list(learned.values())


def _forgot(workspace: Workspace, digest: str, request: str) -> bool:
    found = workspace.dataset(digest)
    return found is not None and request in forgotten_since(found, digest)
