"""Names such as `production` for versions of a model, and who changed them, when and why.

Every change is a new file, aliases/00000001.json and so on, that holds all names and the whole
history. It is written only if there is none of that number: of two who change names at the same
time one is told, and nothing of the other's change is lost.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from nearfar.errors import BadFile, BadSetting, said
from nearfar.release.places import Place

FORMAT = 1
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_VERSION = re.compile(r"[0-9a-f]{8,64}")
_TRIES = 20  # while others change other names


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One name that came to mean another version."""

    alias: str
    version: str
    before: str | None  # what it meant until then
    how: str  # release, promote or rollback
    by: str
    at: str  # ISO 8601
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """All changes of a model's names, the oldest first."""

    history: tuple[Change, ...] = ()

    @property
    def named(self) -> Mapping[str, str]:
        """The version of each name."""
        return {change.alias: change.version for change in self.history}

    def earlier(self, alias: str) -> list[str]:
        """Return what a name meant before, the latest last; what was rolled back is not there."""
        versions: list[str] = []
        for change in self.history:
            if change.alias != alias:
                continue
            if change.how == "rollback":
                versions = versions[:-1]
            else:
                versions.append(change.version)
        return versions[:-1]


def require_alias(alias: str) -> None:
    """Refuse a name that could be taken for a version.

    Raises:
        BadSetting: says what a name looks like.
    """
    if not _ALIAS.fullmatch(alias) or is_version(alias):
        raise BadSetting(
            f"Expected an alias such as candidate or production (small letters, digits, - and _), "
            f"found {alias!r}."
        )


def is_version(text: str) -> bool:
    """Tell whether this is a version, or the first 8 or more digits of one."""
    return _VERSION.fullmatch(text) is not None


def read_aliases(place: Place, name: str) -> Aliases:
    """Return the names of a model's versions; none if nothing was released yet.

    Raises:
        BadFile: the last change cannot be read.
    """
    return _read(place, name)[1]


def change_alias(place: Place, name: str, change: Change) -> Aliases:
    """Let a name mean another version, if it still means what it did when this began.

    Raises:
        BadFile: somebody else has changed it meanwhile.
    """
    for _ in range(_TRIES):
        revision, found = _read(place, name)
        now = found.named.get(change.alias)
        if now != change.before:
            raise BadFile(
                f"{place.url}: expected {change.alias} of {name!r} to mean {change.before} still, "
                f"found that somebody let it mean {now} meanwhile. Look with `nearfar releases "
                f"{place.url} {name}`, and decide again."
            )
        new = Aliases(history=(*found.history, change))
        facts = {"format": FORMAT, "aliases": new.named, "history": [*map(asdict, new.history)]}
        content = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
        if place.create(_path(name, revision + 1), content.encode()):
            return new
    raise BadFile(f"{place.url}: others change the names of {name!r} all the time. Try again.")


def _read(place: Place, name: str) -> tuple[int, Aliases]:
    names = [one for one in place.names(f"models/{name}/aliases") if one.endswith(".json")]
    if not names:
        return 0, Aliases()
    path = f"models/{name}/aliases/{names[-1]}"
    try:
        facts = json.loads(place.read(path) or b"")
        if (found := facts["format"]) != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        history = tuple(Change(**one) for one in facts["history"])
        return int(names[-1].removesuffix(".json")), Aliases(history=history)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{place.url}/{path}: expected the names of versions ({said(error)}). The change "
            "before it stands in the file of the number before; remove this one to go back to it."
        ) from error


def _path(name: str, revision: int) -> str:
    return f"models/{name}/aliases/{revision:08}.json"
