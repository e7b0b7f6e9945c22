"""A registry with tiny models in it, without the gate that lets them in."""

from pathlib import Path

from tiny import tiny_bert

from nearfar.model.text import TextEncoder
from nearfar.release.aliases import Change, change_alias, read_aliases
from nearfar.release.places import open_place
from nearfar.release.records import CARD, FILE, MODEL, VERDICT, Release, digests, write_release

NAME, ALIAS = "shop", "production"


def put(registry: Path, seed: int) -> str:
    """Release a tiny encoder whose weights come of a seed; return its version."""
    place = open_place(str(registry))
    with place.staged() as part:
        encoder = TextEncoder.load(tiny_bert(registry.parent / f"bert{seed}", seed=seed))
        (part / MODEL).mkdir()
        encoder.save(part / MODEL)
        (part / CARD).write_text("# shop\n")
        (part / VERDICT).write_text("{}\n")
        new = Release(
            name=NAME, space=encoder.space.fingerprint, dataset="d" * 16, split="test",
            policy="p" * 16, outcome="PASS", files=digests(part), measures={},
        )  # fmt: skip
        write_release(new, part / FILE)
        place.take(part, new.where, last=FILE)
    return new.version


def promote(registry: Path, version: str) -> None:
    """Let the alias mean a version."""
    place = open_place(str(registry))
    before = read_aliases(place, NAME).named.get(ALIAS)
    change_alias(place, NAME, Change(alias=ALIAS, version=version, before=before, how="promote",
                                     by="kim", at="2026-11-21T12:00:00+00:00"))  # fmt: skip
