"""What a version of an index says of itself, beside its documents: space, model, card, state."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import nearfar
from nearfar.errors import BadFile
from nearfar.model.encoder import Encoder
from nearfar.model.space import EmbeddingSpace
from nearfar.search.chunks import Cutter, Cutting
from nearfar.stores.contract import Shelf, Store

FORMAT = 2  # 1: the exact index whose files are written once (`index.py`)
# building: documents are copied in; open: takes writes while it is live; closed: takes none any
# more, since another version is about to go live in its place.
State = Literal["building", "open", "closed"]
STATES: tuple[State, ...] = ("building", "open", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """One version."""

    space: EmbeddingSpace
    model: str = ""  # what people call it
    precision: str = ""  # that it computed in, where it says
    made_at: str = ""  # as whoever made it said, ISO 8601
    cutting: Mapping[str, Any] | None = None  # the rule of `chunks.py`; None: documents are whole
    state: State = "open"
    copied_to: str = ""  # of one that is building: the last id that was copied
    former: str | None = None  # the version that was live before
    card: Mapping[str, Any] | None = None  # of `index_card.py`

    def to_json(self) -> dict[str, Any]:
        """Return all of it, with the format in front."""
        told = asdict(self) | {"space": self.space.to_json()}
        return {"format": FORMAT, "nearfar": nearfar.__version__, **told}

    @classmethod
    def of(cls, store: Store, version: str) -> "LiveFacts":
        """Read what a store says now.

        Raises:
            BadFile: it says nothing, or nothing that is known.
        """
        where = f"version {version!r} of the index"
        told = dict(store.facts)
        if told.pop("format", None) != FORMAT:
            raise BadFile(
                f"{where}: expected facts of format {FORMAT}, found {store.facts.get('format')!r}. "
                "It was not made whole; make another version with `nearfar index`."
            )
        told.pop("nearfar", None)
        try:
            space = EmbeddingSpace.from_json(told.pop("space"), where=where)
            found = cls(space=space, **told)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFile(
                f"{where}: expected what this version of nearfar writes of an index, and it cannot "
                f"be read ({error}). Use the version that wrote it, or build the index again."
            ) from error
        if found.state not in STATES:
            raise BadFile(f"{where}: expected a state of {', '.join(STATES)}, got {found.state!r}.")
        return found


def facts_of(
    encoder: Encoder, cutting: Cutting | None, *, model: str = "", made_at: str = ""
) -> LiveFacts:
    """Return what a new version says of itself."""
    return LiveFacts(
        space=encoder.space,
        model=model,
        # Not part of the promise of an Encoder; kept where one says how it computed.
        precision=str(getattr(encoder, "precision", "")).removeprefix("torch."),
        made_at=made_at,
        cutting=Cutter(encoder, cutting).rule,
    )


def with_facts(shelf: Shelf, version: str, facts: LiveFacts) -> None:
    """Have a version say these facts of itself."""
    store = shelf.open(version)
    try:
        store.tell(facts.to_json())
    finally:
        store.close()


def next_version(shelf: Shelf) -> str:
    """Return a name that no version has: v1, v2, ..."""
    taken = shelf.versions()
    numbers = [int(name[1:]) for name in taken if name[:1] == "v" and name[1:].isdecimal()]
    return f"v{max(numbers, default=0) + 1}"


def require_live(shelf: Shelf) -> str:
    """Return the version that is live.

    Raises:
        BadFile: there is none.
    """
    live = shelf.live()
    if live is None:
        raise BadFile(
            "Expected an index, found no version that is live. Build one with `nearfar index`."
        )
    return live
