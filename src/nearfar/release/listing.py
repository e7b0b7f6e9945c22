"""What stands in a registry: its models, their versions, and which one a name means."""

import re

from nearfar.errors import BadFile, BadSetting
from nearfar.release.aliases import Aliases, is_version, read_aliases
from nearfar.release.places import Place, open_place
from nearfar.release.records import FILE, Release, read_release

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def models(registry: str) -> list[str]:
    """Return the names of the models in a registry.

    Raises:
        BadFile: there is no registry.
    """
    place = open_place(registry)
    if not (found := place.names("models")):
        raise BadFile(
            f"{place.url}: expected a registry, found no model in it. Check the address, or put "
            "one there with `nearfar release`."
        )
    return found


def releases(registry: str, name: str) -> tuple[list[Release], Aliases]:
    """Return every version of a model, the oldest first, and what its aliases mean.

    Raises:
        BadFile: there is no such model, or a version is damaged.
    """
    place = open_place(registry)
    require_known(place, name)
    found = [read_release(place, name, one) for one in _versions(place, name)]
    return sorted(found, key=lambda one: (one.at, one.version)), read_aliases(place, name)


def find(place: Place, name: str, which: str) -> Release:
    """Return the version that an alias, or the beginning of a version, means.

    Raises:
        BadFile: there is none, or more than one.
    """
    names = read_aliases(place, require_known(place, name))
    return read_release(place, name, version_of(place, name, which, names))


def require_name(name: str) -> None:
    """Refuse a name that is not good for a folder everywhere.

    Raises:
        BadSetting: says what a name looks like.
    """
    if not _NAME.fullmatch(name):
        raise BadSetting(
            "Expected a name of letters, digits, dots, - and _, at most 96 of them and a letter "
            f"or digit first, found {name!r}."
        )


def version_of(place: Place, name: str, which: str, names: Aliases) -> str:
    """Return the whole version that an alias, or the beginning of a version, means.

    Raises:
        BadFile: there is none, or more than one.
    """
    if which in names.named:
        return names.named[which]
    found = [one for one in _versions(place, name) if is_version(which) and one.startswith(which)]
    if len(found) != 1:
        known = ", ".join([*names.named, *(one[:12] for one in _versions(place, name))])
        many = f"{len(found)} versions that begin so" if found else "none"
        raise BadFile(
            f"{place.url}: expected an alias or one version of {name!r} under {which!r}, found "
            f"{many}. There are: {known}."
        )
    return found[0]


def _versions(place: Place, name: str) -> list[str]:
    """Return the versions that are whole: one under way in a store has no release.json yet."""
    named = [one for one in place.names(f"models/{name}") if len(one) == 64 and is_version(one)]
    return [one for one in named if FILE in place.names(f"models/{name}/{one}")]


def require_known(place: Place, name: str) -> str:
    """Return the name of a model that is there.

    Raises:
        BadSetting: no model could have that name.
        BadFile: there is none.
    """
    require_name(name)
    if name not in (known := place.names("models")):
        raise BadFile(
            f"{place.url}: expected the model {name!r}, found {', '.join(known) or 'no model'}. "
            "Check the address and the name."
        )
    return name
