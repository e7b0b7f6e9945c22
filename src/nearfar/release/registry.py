"""The registry: passed models, each with its card and its verdict, under names that can go back.

REGISTRY/models/NAME/VERSION/model/...       the folder of an encoder or a reranker
REGISTRY/models/NAME/VERSION/verdict.json    why it may be there
REGISTRY/models/NAME/VERSION/report.json     what was measured, if it was given
REGISTRY/models/NAME/VERSION/README.md       the card
REGISTRY/models/NAME/VERSION/release.json    digests of all of it; VERSION is the digest of these
REGISTRY/models/NAME/aliases/00000001.json   names such as production, and their history

Digests tell that something was changed, not who released it: whoever may write to a registry may
release.
"""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.report import read_report
from nearfar.lineage.things import Lineage
from nearfar.model.locate import locate
from nearfar.release.admission import (
    baseline_notes,
    require_dataset,
    require_passed,
)
from nearfar.release.aliases import Change, change_alias, read_aliases, require_alias
from nearfar.release.card import About, Shown, card
from nearfar.release.fetching import verified
from nearfar.release.listing import require_known, require_name, version_of
from nearfar.release.places import Place, open_place
from nearfar.release.records import (
    CARD,
    FILE,
    MODEL,
    REPORT,
    VERDICT,
    Release,
    digests,
    read_release,
    write_release,
)
from nearfar.release.subject import subject_of
from nearfar.release.verdict import Verdict, read_verdict

_NOT_OF_THE_MODEL = ("README.md", "release")  # what a fetched model has from its former release


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for a model.

    Args:
        verdict: verdict.json, or the folder that `nearfar gate` wrote.
        report: folder that `nearfar evaluate` wrote; None: the card shows the verdict alone.
        dataset: that the verdict must be on; None: whatever it is on.
        lineage: of the model, for its card.
    """

    verdict: Path
    report: Path | None = None
    dataset: Path | None = None
    lineage: Lineage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Who changes a name, why, and when."""

    by: str
    why: str = ""
    at: dt.datetime | None = None  # None: now

    @property
    def time(self) -> dt.datetime:
        """When it is written down."""
        return self.at or dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a release, a promotion or a rollback."""

    release: Release
    before: str | None  # the version that the name meant until then
    notes: tuple[str, ...] = ()


def release(
    model: str, registry: str, about: About, evidence: Evidence, *, alias: str, sign: Sign
) -> Done:
    """Put a passed encoder or reranker into a registry; the same release twice is one version.

    The model's own README.md, and a folder `release`, stay behind: they are of a former release.

    Raises:
        NotPassed: its verdict does not let it have this alias.
        DataMismatch: the verdict or the report is on another model or dataset.
        BadFile, BadModel, BadSetting: a file or a name is not what it should be.
    """
    require_name(about.name)
    require_alias(alias)
    path = evidence.verdict / VERDICT if evidence.verdict.is_dir() else evidence.verdict
    verdict = read_verdict(path)
    require_passed(verdict, alias, sign.time.date())
    _require_dataset(verdict, evidence.dataset)
    report = None if evidence.report is None else read_report(evidence.report)
    place = open_place(registry)
    before = read_aliases(place, about.name).named.get(alias)
    with place.staged() as part:
        _copy_model(locate(model), part / MODEL)
        shutil.copyfile(path, part / VERDICT)
        if evidence.report is not None:
            shutil.copyfile(evidence.report / REPORT, part / REPORT)
        # What was copied is loaded, not what was named: nobody changes it in between.
        subject = subject_of(part / MODEL, verdict, model)
        shown = Shown(folder=part / MODEL, subject=subject, verdict=verdict, report=report,
                      lineage=evidence.lineage)  # fmt: skip
        (part / CARD).write_text(card(about, shown), encoding="utf-8")
        new = Release(
            name=about.name, space=subject.space.fingerprint,
            reranker=subject.stages.reranker if subject.stages else "", dataset=verdict.dataset,
            split=verdict.split, policy=verdict.policy_digest, outcome=verdict.outcome,
            files=digests(part), measures=_measures(shown),
            at=sign.time.isoformat(timespec="seconds"),
        )  # fmt: skip
        write_release(new, part / FILE)
        if place.read(f"{new.where}/{FILE}") is None:
            place.take(part, new.where, last=FILE)
    with verified(place, read_release(place, new.name, new.version)):
        pass  # it stands there, to the byte
    notes = _notes(place, verdict, new.name, before, alias)
    _set(place, new, alias, before, "release", sign)
    return Done(release=new, before=before, notes=notes)


def promote(
    registry: str, name: str, which: str, *, to: str, sign: Sign, dataset: Path | None = None
) -> Done:
    """Let an alias mean a version, once more held against its verdict as both stand there.

    Args:
        registry: folder or URL.
        name: of the model.
        which: an alias, a version, or the first 8 or more digits of one.
        to: the alias.
        sign: who, and why.
        dataset: that the verdict must be on; None: whatever it is on.

    Raises:
        NotPassed: the verdict does not let it have this alias, or not any more.
        DataMismatch: the verdict is on another model or dataset.
        BadFile: a file was changed since its release; or somebody else changed the alias.
    """
    require_alias(to)
    place = open_place(registry)
    names = read_aliases(place, require_known(place, name))
    found = read_release(place, name, version_of(place, name, which, names))
    with verified(place, found) as folder:
        verdict = read_verdict(folder / VERDICT)
        require_passed(verdict, to, sign.time.date())
        require_dataset(verdict, found.dataset)
        _require_dataset(verdict, dataset)
        subject_of(folder / MODEL, verdict, f"{name} {found.version[:12]}")
    before = names.named.get(to)
    notes = _notes(place, verdict, name, before, to)
    _set(place, found, to, before, "promote", sign)
    return Done(release=found, before=before, notes=notes)


def rollback(registry: str, name: str, *, alias: str, sign: Sign) -> Done:
    """Let an alias mean again what it meant before; the next time, what it meant before that.

    Raises:
        BadSetting: it never meant anything else.
        BadFile: a file of the earlier version was changed or is missing.
    """
    place = open_place(registry)
    names = read_aliases(place, require_known(place, name))
    earlier = names.earlier(alias)
    if not earlier:
        raise BadSetting(
            f"{place.url}: expected an earlier version of {name!r} that was {alias}, found none. "
            f"See what there is with `nearfar releases {place.url} {name}`."
        )
    found = read_release(place, name, earlier[-1])
    with verified(place, found):
        pass
    before = names.named[alias]
    _set(place, found, alias, before, "rollback", sign)
    return Done(release=found, before=before)


def _set(
    place: Place, found: Release, alias: str, before: str | None, how: str, sign: Sign
) -> None:
    if found.version == before and how != "rollback":
        return  # it means that already
    change = Change(alias=alias, version=found.version, before=before, how=how, by=sign.by,
                    at=sign.time.isoformat(timespec="seconds"), why=sign.why)  # fmt: skip
    change_alias(place, found.name, change)


def _notes(
    place: Place, verdict: Verdict, name: str, before: str | None, alias: str
) -> tuple[str, ...]:
    now = None if before is None else read_release(place, name, before)
    in_use = None if now is None else (now.space, now.reranker)
    return tuple(baseline_notes(verdict, in_use, alias))


def _require_dataset(verdict: Verdict, folder: Path | None) -> None:
    if folder is not None:
        require_dataset(verdict, Dataset.open(folder).digest)


def _copy_model(model: Path, folder: Path) -> None:
    """Copy what a model is made of: neither hidden files nor those of a former release."""
    for file in sorted(model.rglob("*")):
        path = file.relative_to(model)
        ours = path.parts[0] not in _NOT_OF_THE_MODEL
        if ours and file.is_file() and not any(part.startswith(".") for part in path.parts):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / path)


def _measures(shown: Shown) -> dict[str, dict[str, object]]:
    return {
        name: {"mean": one.mean, "low": one.low, "high": one.high, "n": one.n}
        for name, one in shown.measured()
    }
