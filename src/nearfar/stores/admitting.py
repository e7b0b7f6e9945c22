"""What a store may take in: the same refusals for every kind of store."""

import re
from collections.abc import Mapping, Sequence

import torch

from nearfar.errors import BadRecord, BadSetting
from nearfar.records import Document, Scalar
from nearfar.stores.contract import Entry, Kind, Layout
from nearfar.stores.filters import fits

_NAME = re.compile(r"[a-z0-9_-]{1,48}")


def admitted(entries: Sequence[Entry], layout: Layout) -> dict[str, Entry]:
    """Return the entries by their ids, of one id the last, once all of them were looked at.

    Raises:
        BadRecord: an id is empty; a text holds half of a character; a vector is not D numbers,
            all finite; or a field that searches can be narrowed by is of another kind.
        ValueError: an entry has no vector, or not one span for each.
    """
    for entry in entries:
        _require_text(entry)
        _require_shape(entry, layout.dim)
        for name, kind in layout.fields.items():
            if name in entry.document.fields:
                _require_kind(entry.document.id, name, kind, entry.document.fields[name])
    _require_finite(entries)
    return {entry.document.id: entry for entry in entries}


def require_name(version: str) -> None:
    """Raise BadSetting unless a version may be called so."""
    if not _NAME.fullmatch(version):
        raise BadSetting(
            f"{version!r} is no name of a version: expected 1 to 48 characters, each a to z, "
            "0 to 9, '-' or '_'. Choose another name."
        )


def require_words(layout: Layout) -> None:
    """Raise BadSetting where words cannot be searched."""
    if not layout.words:
        raise BadSetting(
            "This index was made without words: only vectors can be searched. Search without "
            "words, or build a version that has them."
        )


def _require_text(entry: Entry) -> None:
    document = entry.document
    if not document.id:
        raise BadRecord(
            f"The document {document.content[:40]!a} has an empty id: expected a text. Give every "
            "document an id of its own."
        )
    for what, text in _texts(document, entry.digest):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRecord(
                f"The {what} of document {document.id!a} holds half of a surrogate pair "
                f"({text[error.start : error.end]!a} at character {error.start}), which is no "
                "text. Take it out where the document comes from."
            ) from error


def _texts(document: Document, digest: str) -> list[tuple[str, str]]:
    fields: Mapping[str, Scalar] = document.fields
    return [
        ("id", document.id), ("content", document.content), ("group", document.group),
        ("source", document.source), ("digest", digest),
        *((f"name of the field {name!a}", name) for name in fields),
        *((f"field {name!a}", value) for name, value in fields.items() if isinstance(value, str)),
    ]  # fmt: skip


def _require_kind(id_: str, name: str, kind: Kind, value: Scalar) -> None:
    if not fits(value, kind):
        raise BadRecord(
            f"The field {name!r} of document {id_!r}: expected {_MEANT[kind]}, found "
            f"{str(value)[:80]!a} ({type(value).__name__}). Mend the field, or build a version "
            "that is not narrowed by it."
        )


_MEANT: dict[Kind, str] = {
    "text": "a text",
    "truth": "true or false",
    "integer": "a whole number of at most 64 bits",
    "number": "a finite number",
}


def _require_shape(entry: Entry, dim: int) -> None:
    vectors, id_ = entry.vectors, entry.document.id
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise BadRecord(
            f"The vectors of document {id_!r}: expected {dim} numbers each, found the shape "
            f"{tuple(vectors.shape)}. Embed it with the model that this index was built with."
        )
    if len(vectors) == 0 or len(vectors) != len(entry.pieces):
        raise ValueError(
            f"document {id_!r} has {len(vectors)} vectors for {len(entry.pieces)} pieces; each "
            "piece needs one, and a document one piece at least."
        )


def _require_finite(entries: Sequence[Entry]) -> None:
    # All at once: looked at one by one, a million documents take ten seconds longer.
    if not entries or torch.isfinite(torch.cat([entry.vectors for entry in entries])).all():
        return
    id_ = next(e.document.id for e in entries if not torch.isfinite(e.vectors).all())
    raise BadRecord(
        f"The vectors of document {id_!r}: expected finite numbers, found NaN or infinity. Look "
        "at its text, or at the model that it was embedded with."
    )
