"""Forgetting: a document, a query, a source or a person leaves everything that can let go of it.

First what was derived goes (leftovers, tokens, checkpoints, reports, indexes), the datasets last:
so an attempt that is cut short still finds in them what it has to look for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nearfar.lineage.holdings import Holdings, find_holdings
from nearfar.lineage.matching import Matcher, Wanted, text_name
from nearfar.lineage.parents import parents_of
from nearfar.lineage.retraining import Retrain, retraining
from nearfar.lineage.rewriting import (
    remove,
    rewrite_dataset,
    rewrite_index,
    rewrite_report,
)
from nearfar.lineage.tombstones import Tombstones, read_tombstones
from nearfar.lineage.verifying import Gone, Proof, is_clean, look_through
from nearfar.lineage.workspace import DEEPEST, Workspace, left_behind, scan
from nearfar.progress import Progress, silent

_KEPT = ("teacher-*.npy", "checkpoint-*", "best-*.safetensors")  # beside a run's tokens


@dataclass(slots=True)
class Plan:
    """What a forgetting would do, in words and in order; nothing has been touched."""

    holdings: Holdings
    left_behind: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)  # for going on, or for another time
    answers: list[Path] = field(default_factory=list)  # paid for; they may quote what they are of
    retrain: list[Retrain] = field(default_factory=list)
    unfinished: bool = False  # the same was asked before, and cut short

    def __bool__(self) -> bool:
        return bool(self.holdings or self.kept or self.answers or self.left_behind)


@dataclass(slots=True)
class Forgotten:
    """What was done, what must be trained again, and the proof."""

    plan: Plan
    proof: Proof


def plan_forgetting(root: Path, wanted: Wanted) -> Plan:
    """Find all that would go, and touch nothing.

    Raises:
        BadFile: there is no such folder, or the file of what was forgotten is damaged.
    """
    return _plan(scan(root, most_depth=DEEPEST), wanted, read_tombstones(root))


def _plan(workspace: Workspace, wanted: Wanted, tombstones: Tombstones) -> Plan:
    known = _known(tombstones, wanted)
    found = find_holdings(workspace, wanted, known=known)
    kept = {path for store in found.stores for name in _KEPT for path in store.parent.glob(name)}
    if found.indexes or any(held.documents for held in found.datasets):
        kept |= set(workspace.vectors)
    # Nothing in an answer says which text it is of, and an answer may have come to no dataset.
    written = any(held.kinds["synthetic"] for held in found.datasets)
    return Plan(
        holdings=found,
        left_behind=workspace.left_behind,
        kept=sorted(kept),
        answers=workspace.answers if found.texts or written else [],
        retrain=retraining(workspace, found),
        unfinished=tombstones.unfinished(wanted.request),
    )


def _known(tombstones: Tombstones, wanted: Wanted) -> Callable[[str], bool] | None:
    marks = tombstones.texts(wanted.request) if tombstones.unfinished(wanted.request) else None
    return (lambda text: tombstones.mark(text) in marks) if marks else None


def forget(root: Path, wanted: Wanted, *, progress: Progress = silent) -> Forgotten:
    """Remove what is wanted from a workspace, and prove it.

    Each folder is swapped for one without the rows, or stays as it was. Cut short at any moment
    and called again, the work comes to the same end. Nothing else may write meanwhile.

    Args:
        root: the workspace.
        wanted: what is to be forgotten.
        progress: told after every folder, and while files are read for the proof.

    Raises:
        BadFile: something cannot be read or written; what was done before is done.
    """
    root = root.absolute()  # the folder we stand in may be swapped for another
    tombstones = read_tombstones(root)
    _clear(scan(root, most_depth=DEEPEST).left_behind)
    workspace = scan(root, most_depth=DEEPEST)
    plan = _plan(workspace, wanted, tombstones)
    found = plan.holdings
    if plan or plan.unfinished:
        tombstones.write(wanted.request, "begun", found.texts)
        _carry_out(plan, tombstones, progress)
        tombstones.write(wanted.request, "done")
    ids = (found.ids | wanted.ids) - _files(workspace)
    marks = tombstones.texts(wanted.request)
    gone = Gone(frozenset(found.texts), frozenset(ids), lambda text: tombstones.mark(text) in marks)
    left = find_holdings(scan(root, most_depth=DEEPEST), wanted, known=gone.known)
    proof = look_through(root, gone, matched=left.matched, progress=progress)
    proof.holding += [f"{held.dataset.folder}: rows that are meant" for held in left.datasets]
    proof.holding += [f"{place.folder}: documents that are meant" for place, _ in left.indexes]
    proof.closed = list(dict.fromkeys([*proof.closed, *left.unreadable]))
    return Forgotten(plan, proof)


def _carry_out(plan: Plan, tombstones: Tombstones, progress: Progress) -> None:
    found = plan.holdings
    known = _known(tombstones, found.wanted)
    matcher = Matcher(found.wanted, _same(found, known))
    ids = found.ids | found.wanted.ids
    request = found.wanted.request
    work: list[tuple[Path, Callable[[], object]]] = []
    for path in (
        *plan.kept,
        *plan.answers,
        *found.stores,
        *(check.folder for check in found.checks),
    ):
        work.append((path, partial(remove, path)))
    for report, _ in found.reports:
        work.append((report.folder, partial(rewrite_report, report, ids)))
    for index, own in found.indexes:
        work.append((index.folder, partial(rewrite_index, index, own)))
    gone = Gone(frozenset(found.texts), frozenset(ids), known or (lambda text: False))
    for held in found.datasets:
        clean = partial(is_clean, gone=gone)
        again = partial(rewrite_dataset, held, matcher, request, clean=clean, texts=found.texts)
        work.append((held.dataset.folder, again))
    for number, (path, act) in enumerate(work):
        progress(f"forget: {path.name}", number, len(work))
        act()
    progress("forget", len(work), len(work))


def _same(found: Holdings, known: Callable[[str], bool] | None) -> Callable[[str], bool]:
    names = {text_name(text) for text in found.texts}
    return lambda text: text_name(text) in names or (known is not None and known(text))


def _files(workspace: Workspace) -> set[str]:
    """Return what datasets call their sources: the name of a file is no one's text."""
    paths = [str(p.get("path")) for d in workspace.datasets for p in parents_of(d)]
    return {name for path in paths for name in (path, Path(path).name)}


def _clear(paths: list[Path]) -> None:
    """Put back what a killed process had stepped aside, and remove what it had not finished."""
    for path in paths:
        name = left_behind(path)
        assert name is not None
        place = path.with_name(name)
        if path.suffix == ".old" and not place.exists() and (path / name).exists():
            (path / name).rename(place)
        remove(path) if path.is_dir() else path.unlink()
