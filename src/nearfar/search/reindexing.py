"""Blue and green: a new model builds a version beside the live one, and takes its place at once.

No acknowledged write is lost. A writer looks, before and after it writes, whether its version is
live and open (`LiveIndex.upsert`). A switch copies what it can while writes go on, then closes the
live version, copies what came in before that, and only then points searches elsewhere. A write
that ended before the closing is copied; one that did not is refused, and its writer knows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from nearfar.errors import BadSetting
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.search.chunks import Cutting
from nearfar.search.live_documents import Upserted, chunks_of
from nearfar.search.live_facts import LiveFacts, facts_of, next_version, require_live, with_facts
from nearfar.search.live_index import LiveIndex
from nearfar.stores.contract import Layout, Shelf, Store

_AS_READ = Cutting()


def build_version(
    shelf: Shelf,
    encoder: Encoder,
    *,
    cutting: Cutting | None = _AS_READ,
    model: str = "",
    made_at: str = "",
    progress: Progress = silent,
) -> LiveIndex:
    """Embed every document of the live version with another model, in a version beside it.

    Searches and writes go on as they were. When this ends early, the same call goes on with the
    version that was begun. What is written meanwhile is caught up by `switch`.

    Args:
        shelf: where the index stands.
        encoder: the new model.
        cutting: how documents are cut that are longer than it reads.
        model: what people call it.
        made_at: when, ISO 8601.
        progress: told after every chunk.

    Returns:
        The new version, which is not live.

    Raises:
        BadFile: there is no index.
        BadSetting: the cutting does not fit the encoder.
        StoreFull: there is no more room; what was copied is kept.
    """
    live = require_live(shelf)
    facts = replace(
        facts_of(encoder, cutting, model=model, made_at=made_at), state="building", former=live
    )
    with _opened(shelf, live) as source:
        layout = replace(source.layout, dim=encoder.space.dim)
        version = _begun(shelf, facts, layout) or next_version(shelf)
        if version not in shelf.versions():
            shelf.create(version, layout).close()
            with_facts(shelf, version, facts)
        target = LiveIndex.open(shelf, encoder, version=version)
        try:
            _copy(source, target, progress)
            target.optimise(progress)
            target.tell(replace(target.facts, state="open", copied_to=""))
        except BaseException:
            target.close()
            raise
    return target


def switch(
    shelf: Shelf, version: str, encoder: Encoder, *, progress: Progress = silent
) -> Upserted:
    """Bring a version up to date with the live one, and make it live in its place.

    Writes are refused from the closing of the live version until the switch: for as long as it
    takes to compare all documents once more, of which few are new. Whoever has the old version
    open goes on reading it.

    Args:
        shelf: where the index stands.
        version: that becomes live.
        encoder: of its space.
        progress: told while documents are compared.

    Returns:
        What had to be embedded, and what stood there.

    Raises:
        BadSetting: it is live, or it was not built to its end, or another went live meanwhile.
        SpaceMismatch: the encoder is not of its space.
    """
    live = require_live(shelf)
    if version == live:
        raise BadSetting(f"Version {version!r} of the index is live already.")
    target = LiveIndex.open(shelf, encoder, version=version)
    try:
        if target.facts.state == "building":
            raise BadSetting(
                f"Expected a version that was built to its end, found {version!r} under way. "
                "Build it again: it goes on from where it was."
            )
        with _opened(shelf, live) as source:
            done = catch_up(source, target, progress)
            with _closed(shelf, live, source):
                done += catch_up(source, target, progress)
                target.tell(replace(target.facts, state="open", former=live))
                shelf.switch(version, live)
    finally:
        target.close()
    return done


def rollback(shelf: Shelf, encoder: Encoder, *, progress: Progress = silent) -> str:
    """Make the version live again that was live before, with all that was written since.

    Args:
        shelf: where the index stands.
        encoder: of the space of the former version.
        progress: told while documents are compared.

    Returns:
        The version that is live now.

    Raises:
        BadSetting: none was live before, or it was removed.
        SpaceMismatch: the encoder is not of its space.
    """
    former = former_version(shelf)
    switch(shelf, former, encoder, progress=progress)
    return former


def former_version(shelf: Shelf) -> str:
    """Return the version that was live before the one that is.

    Raises:
        BadSetting: none was, or it was removed.
    """
    live = require_live(shelf)
    former = facts_of_version(shelf, live).former
    if former is None or former not in shelf.versions():
        what = "none was live before it" if former is None else f"version {former!r} was removed"
        raise BadSetting(f"There is nothing to go back to from version {live!r}: {what}.")
    return former


def newest_version(shelf: Shelf) -> str:
    """Return the version that was built last beside the live one.

    Raises:
        BadSetting: none was, since that one went live.
    """
    live = require_live(shelf)
    for version in reversed(shelf.versions()):
        with _opened(shelf, version) as store:
            # One without facts ended between its making and its first word.
            if version != live and store.facts and LiveFacts.of(store, version).former == live:
                return version
    raise BadSetting(
        f"Expected a version that was built beside {live!r}, the live one, found none. Build one "
        "with `nearfar index DATASET FOLDER --model M --reindex`."
    )


def facts_of_version(shelf: Shelf, version: str) -> LiveFacts:
    """Return what a version says of itself.

    Raises:
        BadFile: there is none, it is damaged, or it says nothing.
    """
    with _opened(shelf, version) as store:
        return LiveFacts.of(store, version)


def catch_up(source: Store, target: LiveIndex, progress: Progress = silent) -> Upserted:
    """Make a version hold what another does: embed what differs, delete what is not there."""
    done, total = Upserted(0, 0), source.count()
    for chunk in chunks_of(source.scan()):
        done += target.put(chunk)
        progress("compare documents", done.total, total, f"{done.embedded:,} embedded")
    for chunk in chunks_of(target.store.scan()):
        there = source.digests(document.id for document in chunk)
        gone = [document.id for document in chunk if document.id not in there]
        if gone:
            target.store.delete(gone)
    return done


def _copy(source: Store, target: LiveIndex, progress: Progress) -> None:
    """Embed all documents of a store into another; a part that was done is not looked at again."""
    facts, total = target.facts, source.count()
    done = target.count()
    for chunk in chunks_of(source.scan(facts.copied_to)):
        target.put(chunk)
        facts = replace(facts, copied_to=chunk[-1].id)
        target.tell(facts)
        done += len(chunk)
        progress("embed documents", min(done, total), total)


def _begun(shelf: Shelf, facts: LiveFacts, layout: Layout) -> str | None:
    """Return the version of the same kind that someone began to build beside the live one."""
    for version in shelf.versions():
        if version == facts.former:
            continue
        with _opened(shelf, version) as store:
            if store.layout != layout:
                continue
            if not store.facts:  # ended between its making and its first word
                store.tell(facts.to_json())
                return version
            own = LiveFacts.of(store, version)
            if own.state == "building" and (own.space, own.cutting, own.former) == (
                facts.space, facts.cutting, facts.former
            ):  # fmt: skip
                return version
    return None


@contextmanager
def _opened(shelf: Shelf, version: str) -> Iterator[Store]:
    store = shelf.open(version)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _closed(shelf: Shelf, live: str, store: Store) -> Iterator[None]:
    """Let the live version take no writes, until another is live or this has failed."""
    facts = LiveFacts.of(store, live)
    store.tell(replace(facts, state="closed").to_json())
    try:
        yield
    except BaseException:
        if shelf.live() == live:
            store.tell(replace(facts, state="open").to_json())
        raise
