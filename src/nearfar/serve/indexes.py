"""Named indexes of a server: each with the model that asks it, on the version that is live.

An index keeps the model it was opened with, so a model that is replaced by one of another space
breaks no search: the old one answers until a version of the new space is live.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from logging import getLogger
from typing import Literal

from nearfar.errors import BadSetting, NearfarError, Stopped, require, said
from nearfar.model.space import require_same_space
from nearfar.search.live_index import LiveIndex
from nearfar.serve.served import Offer, Served
from nearfar.stores.contract import Shelf

# Searches mostly wait for a disk or a server; each write is one commit, and few can go on at once.
_READERS, _WRITERS = 16, 4
# Since the last upkeep; each write leaves files or dead rows behind, and unindexed vectors are
# looked at one by one.
_WRITES, _DOCUMENTS = 100, 10_000
_LOG = getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedIndex:
    """One version of an index, and the model whose vectors it holds."""

    name: str
    model: str  # what the offer calls it
    served: Served
    index: LiveIndex

    def __post_init__(self) -> None:
        require_same_space(self.served.space, self.index.space, to=f"ask the index {self.name!r}")

    @classmethod
    def open(cls, name: str, shelf: Shelf, offer: Offer, model: str | None = None) -> "ServedIndex":
        """Open the live version of an index.

        Args:
            name: as clients ask for it.
            shelf: where it stands.
            offer: what is served.
            model: one of the offer's; None: its default.

        Raises:
            BadSetting: the model is not served, or the name is none.
            BadFile: there is no index, or it is damaged.
            SpaceMismatch: the index is of another space; names each choice that differs.
        """
        fits = bool(name) and name.isprintable() and len(name) <= 200
        require(fits, "the name of an index", "1 to 200 printable characters", name)
        chosen = model or offer.model
        if chosen is None or chosen not in offer.models:
            known = ", ".join(sorted(offer.models)) or "none"
            raise BadSetting(
                f"The index {name!r} is asked by a model that is served ({known}), found "
                f"{chosen!r}. Serve that model, or name another one for the index."
            )
        served = offer.models[chosen]
        index = LiveIndex.open(shelf, served.encoder)
        return cls(name=name, model=chosen, served=served, index=index)


@dataclass(slots=True)
class _Place:
    """Where an index stands now; it is closed when the last who uses it is done."""

    now: ServedIndex
    users: int = 0
    replaced: bool = False
    writes: int = 0  # since the last upkeep
    documents: int = 0  # that these put in or took out
    tidied: bool = False  # at this moment


@dataclass(slots=True)
class Indexes:
    """All indexes of a server, by name, and the threads that search and write.

    Args:
        opened: each under its own name.
        default: asked by who names none; None: the first.
    """

    opened: Sequence[ServedIndex]
    default: str | None = None
    reading: ThreadPoolExecutor = field(init=False)
    writing: ThreadPoolExecutor = field(init=False)
    _places: dict[str, _Place] = field(init=False)
    _counting: threading.Lock = field(init=False, default_factory=threading.Lock)
    _looking: threading.Lock = field(init=False, default_factory=threading.Lock)
    _tidying: ThreadPoolExecutor = field(init=False)
    _closing: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._places = {one.name: _Place(one) for one in self.opened}
        names = sorted(self._places)
        require(len(names) == len(self.opened), "names of indexes", "all different", names)
        self.default = self.default or next(iter(self._places), None)
        holds = self.default is None or self.default in self._places
        require(holds, "the default index", f"one of {', '.join(names) or 'none'}", self.default)
        self.reading = ThreadPoolExecutor(_READERS, thread_name_prefix="nearfar-search")
        self.writing = ThreadPoolExecutor(_WRITERS, thread_name_prefix="nearfar-write")
        self._tidying = ThreadPoolExecutor(1, thread_name_prefix="nearfar-upkeep")

    @property
    def names(self) -> list[str]:
        """Every name, the default first."""
        return sorted(self._places, key=lambda name: (name != self.default, name))

    @contextmanager
    def using(self, name: str) -> Iterator[ServedIndex]:
        """Yield an index, which stays open meanwhile, whatever version goes live.

        Raises:
            KeyError: there is none of that name.
        """
        with self._counting:
            place = self._places[name]
            place.users += 1
        try:
            yield place.now
        finally:
            with self._counting:
                place.users -= 1
                closes = place.replaced and not place.users
            if closes:
                place.now.index.close()

    def refresh(self, offer: Offer, name: str | None = None) -> list[str]:
        """Go on to versions that went live, and to models that were replaced, where they fit.

        Args:
            offer: what is served now.
            name: of the one that is looked at; None: all.

        Returns:
            A sentence for each that stays on an earlier version, since its model does not fit.
        """
        told = []
        with self._looking:  # one at a time: two would open the same version
            for one in [self._places[name]] if name else list(self._places.values()):
                try:
                    self._refresh(one, offer)
                except (NearfarError, OSError) as error:
                    told.append(
                        f"The index {one.now.name!r} stays on version {one.now.index.version!r}: "
                        f"{said(error)}"
                    )
        return told

    def wrote(self, name: str, documents: int) -> None:
        """Hear of a write; after many, the index is tidied, while searches and writes go on."""
        with self._counting:
            place = self._places[name]
            place.writes += 1
            place.documents += documents
            due = place.writes >= _WRITES or place.documents >= _DOCUMENTS
            if not due or place.tidied:
                return
            place.writes, place.documents, place.tidied = 0, 0, True
        self._tidying.submit(self._tidy, place)

    def looks(self) -> Mapping[str, Callable[[], object]]:
        """Return, by name, what raises if an index cannot be asked (`health.Health.indexes`)."""
        return {name: partial(self._ask, name, "count") for name in self._places}

    def pending(self) -> Mapping[str, Callable[[], int]]:
        """Return, by name, what counts the vectors that await optimising (`Metrics.watch`)."""
        return {name: partial(self._ask, name, "pending") for name in self._places}

    def close(self) -> None:
        """End the threads when they are done, and let go of files and connections."""
        self._closing = True
        for pool in (self.reading, self.writing, self._tidying):
            pool.shutdown(cancel_futures=True)
        for place in self._places.values():
            place.now.index.close()

    def _ask(self, name: str, what: Literal["count", "pending"]) -> int:
        with self.using(name) as one:
            store = one.index.store
            return store.count() if what == "count" else store.pending()

    def _tidy(self, place: _Place) -> None:
        name = place.now.name
        try:
            with self.using(name) as one:
                one.index.optimise(self._go_on)
        except Stopped:
            pass  # the server ends; the next one goes on
        except Exception as error:  # each store has its own kinds; the next writes try again
            _LOG.warning("the upkeep of the index %r failed: %s", name, said(error))
        finally:
            with self._counting:
                place.tidied = False

    def _go_on(self, what: str, done: int, total: int | None, note: str = "") -> None:
        if self._closing:
            raise Stopped("The server ends.")

    def _refresh(self, place: _Place, offer: Offer) -> None:
        now = place.now
        served = offer.models.get(now.model, now.served)
        live = now.index.shelf.live()
        if live == now.index.version and served is now.served:
            return
        if live == now.index.version and served.space.fingerprint != now.served.space.fingerprint:
            return  # the old model answers until a version of the new space is live
        try:
            index = LiveIndex.open(now.index.shelf, served.encoder)
        except NearfarError:
            if served is now.served:
                raise
            served = now.served  # the version is the old model's, if it is anyone's
            index = LiveIndex.open(now.index.shelf, served.encoder)
        fresh = ServedIndex(name=now.name, model=now.model, served=served, index=index)
        with self._counting:
            self._places[now.name] = _Place(fresh)
            place.replaced = True
            closes = not place.users
        if closes:
            now.index.close()
