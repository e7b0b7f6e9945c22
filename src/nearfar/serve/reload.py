"""Follows names in a registry: a release that was promoted is served without a restart.

It is fetched, loaded beside the one in use, and computes once; then both change places in one
assignment. Requests under way end with the model they began with, and no request waits. What
does not load or compute is refused, and what is in use stays.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from nearfar.errors import BadSetting, said
from nearfar.memory import give_back_memory
from nearfar.release.aliases import read_aliases
from nearfar.release.places import Place
from nearfar.serve.logs import Log
from nearfar.serve.served import Offer, Served, ServedReranker, Serving
from nearfar.serve.sources import Source, fetched, load, tidy

Outcome = Literal["swapped", "refused", "unreachable"]
_AGAIN_SECONDS = 600.0  # a version that was refused is tried once more, if memory was to blame


@dataclass(slots=True)
class Follower:
    """One look after another at what the aliases mean; a look may take as long as a load does.

    Args:
        serving: whose offer changes.
        place: of the registry.
        cache: where fetched versions stand.
        log: is told what changed, and what was refused.
        counted: is told the name of a model and what became of its new version.
        clock: tells seconds.
    """

    serving: Serving
    place: Place
    cache: Path
    log: Log
    counted: Callable[[str, Outcome], None]
    clock: Callable[[], float] = time.monotonic
    versions: dict[Source, str] = field(default_factory=dict)  # that are served
    _refused: dict[tuple[Source, str], float] = field(default_factory=dict)  # until when

    def first(self, source: Source) -> Served | ServedReranker:
        """Load what a source means at the start, when there is nothing to fall back on.

        Raises:
            BadFile: the registry has no such release, or it was changed.
            BadModel, BadSetting: it cannot be served.
        """
        model, alias = _followed(source)
        release, folder = fetched(self.place, model, alias, self.cache)
        found = load(source, folder)
        self.versions[source] = release.version
        return found

    def look(self) -> None:
        """Serve what the aliases mean now."""
        for source in list(self.versions):
            try:
                model, alias = _followed(source)
                version = read_aliases(self.place, model).named.get(alias)
            except Exception as error:  # a store's own library may raise anything
                self._say(source, "unreachable", reason=said(error))
                continue
            if version is None or version == self.versions[source]:
                continue
            if self._refused.get((source, version), -1.0) < self.clock():
                self._change(source, model, version)

    def _change(self, source: Source, model: str, version: str) -> None:
        before = self.versions[source]
        try:
            _, folder = fetched(self.place, model, version, self.cache)
            found = load(source, folder)
        except Exception as error:  # whatever a damaged or foreign model does, the old one stays
            self._refused[source, version] = self.clock() + _AGAIN_SECONDS
            self._say(source, "refused", version=version, still=before, reason=said(error))
            return
        self.serving.swap(offer_with(self.serving.offer, source, found))
        self.versions[source] = version
        self._say(source, "swapped", version=version, before=before)
        tidy(self.cache, model, folder)
        give_back_memory()

    def _say(self, source: Source, outcome: Outcome, **facts: str) -> None:
        self.counted(source.name, outcome)
        self.log("reload", model=source.name, kind=source.kind, outcome=outcome, **facts)


def first_offer(sources: Sequence[Source], follower: Follower | None) -> Offer:
    """Load all that is to be served.

    Raises:
        BadSetting: a source names a registry, and there is none.
        NearfarError: a model cannot be served.
    """
    models: list[Served] = []
    rerankers: list[ServedReranker] = []
    for source in sources:
        if source.followed is None:
            found = load(source, source.where)
        elif follower is None:
            raise BadSetting(
                f"--{source.kind} {source.name}={source.where} is of a registry. Say which with "
                "--registry FOLDER-OR-URL."
            )
        else:
            found = follower.first(source)
        if isinstance(found, Served):
            models.append(found)
        else:
            rerankers.append(found)
    return Offer.of(models, rerankers)


def offer_with(offer: Offer, source: Source, found: Served | ServedReranker) -> Offer:
    """Return an offer with one more model, or another under a name."""
    if isinstance(found, Served):
        return replace(offer, models={**offer.models, source.name: found})
    return replace(offer, rerankers={**offer.rerankers, source.name: found})


def _followed(source: Source) -> tuple[str, str]:
    assert source.followed is not None, "only what is of a registry is followed"
    return source.followed
