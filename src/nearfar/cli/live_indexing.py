"""What `nearfar index` does with an index that takes writes: fill it, rebuild it, switch."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.cli.talking import bars

if TYPE_CHECKING:
    from nearfar.data.dataset import Dataset
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.progress import Progress
    from nearfar.search.chunks import Cutting
    from nearfar.search.live_folder import LiveFolder
    from nearfar.search.live_index import LiveIndex
    from nearfar.search.live_measuring import Measured
    from nearfar.stores.contract import Shelf

_QUERIES_OF_A_CARD = 100
_QUERIES_OF_A_COMPARISON = 1_000


def is_live(folder: Path) -> bool:
    """Return whether a folder holds an index that takes writes."""
    from nearfar.search.live_facts import FORMAT
    from nearfar.search.live_folder import format_of

    return format_of(folder) == FORMAT


def place_of(folder: Path, store: str | None, *, may_exist: bool) -> "LiveFolder":
    """Return where an index stands, or is to stand.

    Raises:
        BadFile: something stands there, and is no such index or must not be there.
        BadSetting: the store is unknown, or another than that of the index.
    """
    from nearfar.errors import BadFile, BadSetting
    from nearfar.search.live_folder import LiveFolder, read_folder

    asked = None if store in (None, "files") else LiveFolder.of_store(folder, str(store))
    if not is_live(folder):
        if asked is None or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise BadFile(
                f"{folder}: expected nothing, or an index that takes writes, found something else. "
                "Name another folder."
            )
        return asked
    place = read_folder(folder)
    if store is not None and asked != place:
        raise BadSetting(f"{folder}: the index stands in {place.called}. Leave --store out.")
    if not may_exist:
        raise BadFile(
            f"{folder}: an index stands there already. Add --update to put in what is new or "
            "changed, or to go on with one that was begun; or --reindex to build a version of it "
            "with another model."
        )
    return place


def put_in(
    dataset: Path,
    place: "LiveFolder",
    model: str,
    settings: "TextSettings",
    piece_tokens: int | None,
    *,
    prune: bool,
) -> None:
    """Put the documents of a dataset into an index, which is made if there is none."""
    from nearfar.data.dataset import Dataset
    from nearfar.errors import SpaceMismatch
    from nearfar.model.text import TextEncoder
    from nearfar.search.live_folder import fields_of
    from nearfar.search.live_index import LiveIndex

    opened = Dataset.open(dataset)
    shelf = place.shelf()
    encoder = TextEncoder.load(model, settings)
    if shelf.live() is None:
        fields = fields_of(opened)
        place.write()
        cutting = _cutting(piece_tokens)
        index = LiveIndex.create(shelf, encoder, fields=fields, cutting=cutting,
                                 model=_lasting(model), made_at=_now())  # fmt: skip
    else:
        try:
            index = LiveIndex.open(shelf, encoder)
        except SpaceMismatch as error:
            raise SpaceMismatch(
                f"{error}\nOr add --reindex: it builds a version with this model beside it."
            ) from error
    try:
        with bars() as progress:
            done = index.upsert(
                opened.documents(), progress=progress, total=opened.count("documents")
            )
            gone = ""
            if prune:
                ids = set(opened.table("documents", ["id"])["id"].to_pylist())
                gone = f", {index.delete_others(ids, progress=progress):,} taken out"
            index.optimise(progress)
            recall = _measured_card(opened, place, index, progress)
        print(
            f"{place.folder}: {index.count():,} documents in space {index.space.fingerprint}, in "
            f"{place.called}: {done.embedded:,} embedded, {done.unchanged:,} unchanged"
            f"{gone}{recall}."
        )
    finally:
        index.close()


def build_beside(
    dataset: Path,
    place: "LiveFolder",
    model: str,
    settings: "TextSettings",
    piece_tokens: int | None,
) -> None:
    """Build a version with another model beside the live one, and ask both the same."""
    from nearfar.data.dataset import Dataset
    from nearfar.model.text import TextEncoder
    from nearfar.search.live_facts import require_live
    from nearfar.search.reindexing import build_version

    opened = Dataset.open(dataset)
    shelf = place.shelf()
    live = require_live(shelf)
    encoder = TextEncoder.load(model, settings)
    cutting = _cutting(piece_tokens)
    with bars() as progress:
        built = build_version(shelf, encoder, cutting=cutting, model=_lasting(model),
                              made_at=_now(), progress=progress)  # fmt: skip
        try:
            recall = _measured_card(opened, place, built, progress)
            print(
                f"{place.folder}: version {built.version} beside {live}, {built.count():,} "
                f"documents in space {built.space.fingerprint}{recall}."
            )
            with _opened(shelf, live) as index:
                _compare(opened, index, built, progress)
        finally:
            built.close()
    print(f"Make it live with `nearfar index --switch {place.folder}`.")


def go_to_newest(folder: Path) -> None:
    """Make the newest version live."""
    from nearfar.search.reindexing import newest_version

    _go_to(folder, newest_version)


def go_to_former(folder: Path) -> None:
    """Make the version live that was live before."""
    from nearfar.search.reindexing import former_version

    _go_to(folder, former_version)


def show_card(folder: Path) -> None:
    """Print what is known of the live version."""
    from nearfar.errors import BadFile
    from nearfar.search.index_card import describe_card
    from nearfar.search.live_facts import require_live
    from nearfar.search.live_folder import read_folder
    from nearfar.search.reindexing import facts_of_version

    shelf = read_folder(folder).shelf()
    live = require_live(shelf)
    card = facts_of_version(shelf, live).card
    if card is None:
        raise BadFile(
            f"{folder}: expected a card of version {live!r}, found none: not all its documents "
            "were put in. Go on with `nearfar index DATASET FOLDER --model M --update`."
        )
    print(describe_card(card))


def load_encoder(shelf: "Shelf", version: str) -> "TextEncoder":
    """Load the model that a version was made with, as far as its name still leads there."""
    from nearfar.errors import BadModel
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.search.reindexing import facts_of_version

    facts = facts_of_version(shelf, version)
    if not facts.model:
        raise BadModel(
            f"Expected the name of the model of version {version!r}, found none: it was not made "
            "by `nearfar index`. Switch from Python, with `nearfar.search.reindexing`."
        )
    return TextEncoder.load(facts.model, TextSettings(max_tokens=facts.space.max_tokens))


def _go_to(folder: Path, choose: "Callable[[Shelf], str]") -> None:
    from nearfar.search.live_facts import require_live
    from nearfar.search.live_folder import read_folder
    from nearfar.search.reindexing import switch

    shelf = read_folder(folder).shelf()
    before, version = require_live(shelf), choose(shelf)
    with bars() as progress:
        done = switch(shelf, version, load_encoder(shelf, version), progress=progress)
    print(
        f"{folder}: version {version} is live in place of {before}; {done.embedded:,} documents "
        f"were new to it. Go back with `nearfar index --rollback {folder}`."
    )


@contextmanager
def _opened(shelf: "Shelf", version: str) -> "Iterator[LiveIndex]":
    from nearfar.search.live_index import LiveIndex

    index = LiveIndex.open(shelf, load_encoder(shelf, version), version=version)
    try:
        yield index
    finally:
        index.close()


def _compare(
    dataset: "Dataset", live: "LiveIndex", built: "LiveIndex", progress: "Progress"
) -> None:
    from nearfar.search.live_measuring import compare_versions

    queries = {one.id: one.content for one in islice(dataset.queries(), _QUERIES_OF_A_COMPARISON)}
    if not queries:
        print("The dataset has no queries: the versions were not compared.")
        return
    judged: dict[str, dict[str, float]] = {}
    for one in dataset.judgments():
        if one.query_id in queries and one.grade == one.grade:  # not NaN: called neither
            judged.setdefault(one.query_id, {})[one.document_id] = one.grade
    found = compare_versions(live, built, queries, judged, progress=progress)
    print(
        f"Asked {found.queries:,} queries, {found.judged:,} of them with a known answer. Of the "
        f"first ten documents both find {found.overlap_at_10:.0%}."
    )
    for side in (found.live, found.other):
        print(_line(side))


def _line(side: "Measured") -> str:
    scores = "" if side.scores is None else "".join(
        f", {name} {side.scores[key]:.4f}"
        for name, key in (("nDCG@10", "ndcg_at_10_score"), ("recall@10", "recall_at_10_score"))
    )  # fmt: skip
    return f"  {side.version}: {side.p50_ms:.1f} ms a query (p95 {side.p95_ms:.1f} ms){scores}"


def _measured_card(
    dataset: "Dataset", place: "LiveFolder", index: "LiveIndex", progress: "Progress"
) -> str:
    """Measure the card; return its first line of recall for a sentence."""
    from nearfar.search.index_card import Asking, measure_card

    asking: Asking = "queries"
    texts = [one.content for one in islice(dataset.queries(), _QUERIES_OF_A_CARD)]
    if not texts:
        asking = "documents"
        texts = [one.content for one in islice(dataset.documents(), _QUERIES_OF_A_CARD)]
    if not texts:
        return ""
    card = measure_card(
        index, texts, asking=asking, at=_now(), stored_in=place.called, progress=progress
    )
    recall = card["recalls"][0]["recall_score"]
    return "" if recall is None else f"; recall@10 {recall:.3f} of the exact search"


def _cutting(piece_tokens: int | None) -> "Cutting | None":
    from nearfar.search.chunks import Cutting

    return None if piece_tokens == 0 else Cutting(piece_tokens)


def _lasting(model: str) -> str:
    """Return a name of a model that also leads there from another folder."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
