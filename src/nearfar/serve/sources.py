"""Where what is served comes from: folders, packages, the hub, and names in a registry."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from nearfar.errors import BadFile, BadModel, BadSetting
from nearfar.fingerprint import file_sha256
from nearfar.model.calibration import FILE as CALIBRATION
from nearfar.model.calibration import read_calibration
from nearfar.model.layout import read_layout
from nearfar.model.locate import locate
from nearfar.model.rerankers import load_reranker
from nearfar.model.text import TextEncoder
from nearfar.records import Role
from nearfar.release.fetching import fetch
from nearfar.release.listing import find
from nearfar.release.places import Place
from nearfar.release.records import MODEL, Release
from nearfar.serve.served import Served, ServedReranker

Kind = Literal["model", "reranker"]
_REGISTRY = "registry:"
_KEPT = 3  # versions of a model that stay in the cache: what is served, and ways back
_NAME = re.compile(r"[^\s=]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was asked to be served, and under which name."""

    kind: Kind
    name: str  # as clients ask for it
    where: str  # a folder, package:NAME, the id of a model on the hub; or registry:[MODEL@]ALIAS

    @classmethod
    def parse(cls, text: str, kind: Kind) -> "Source":
        """Read NAME=WHERE, or WHERE alone, whose last part is then the name.

        Raises:
            BadSetting: one of the two is missing.
        """
        name, sign, where = text.partition("=")
        if not sign:
            name, where = re.split(r"[/:@\\]", text.rstrip("/\\"))[-1], text
        if not _NAME.fullmatch(name) or not where:
            raise BadSetting(
                f"--{kind} must be NAME=WHERE, such as shop=models/shop or "
                f"shop=registry:production (no spaces in the name), got {text!r}."
            )
        return cls(kind=kind, name=name, where=where)

    @property
    def followed(self) -> tuple[str, str] | None:
        """The model in a registry and the alias that says its version; None: no registry."""
        if not self.where.startswith(_REGISTRY):
            return None
        model, _, alias = self.where.removeprefix(_REGISTRY).rpartition("@")
        return model or self.name, alias


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSource:
    """An index to be served, and the model that asks it."""

    name: str
    folder: Path
    model: str | None = None  # as --model names it; None: the first

    @classmethod
    def parse(cls, text: str) -> "IndexSource":
        """Read NAME=FOLDER or NAME@MODEL=FOLDER.

        Raises:
            BadSetting: a part is missing.
        """
        whose, _, folder = text.partition("=")
        name, sign, model = whose.partition("@")
        if not _NAME.fullmatch(name) or not folder or (sign and not model):
            raise BadSetting(
                f"--index must be NAME=FOLDER, or NAME@MODEL=FOLDER where another model than the "
                f"first asks it, got {text!r}."
            )
        return cls(name=name, folder=Path(folder), model=model or None)


def require_names(sources: tuple[Source, ...]) -> None:
    """Refuse two of one kind with one name, and nothing at all.

    Raises:
        BadSetting: names the options.
    """
    if not sources:
        raise BadSetting(
            "There is nothing to serve. Name a model with --model NAME=FOLDER or a reranker with "
            "--reranker NAME=FOLDER; both can be repeated."
        )
    seen: dict[tuple[Kind, str], Source] = {}
    for one in sources:
        if (before := seen.setdefault((one.kind, one.name), one)) is not one:
            raise BadSetting(
                f"--{one.kind} {one.name} stands there twice, for {before.where} and for "
                f"{one.where}. Give each its own name: --{one.kind} NAME={one.where}."
            )


def fetched(place: Place, model: str, which: str, cache: Path) -> tuple[Release, Path]:
    """Return a release and its model's folder here, held against its digests.

    Args:
        place: of the registry.
        model: its name there.
        which: an alias or a version.
        cache: holds a folder for each version that was fetched.

    Raises:
        BadFile: there is no such release, or a file of it was changed.
    """
    release = find(place, model, which)
    folder = cache / model / release.version
    if not _is_sound(folder, release):
        fetch(place, release, folder, replace=folder.exists())
    folder.touch()  # the latest that was asked for
    return release, folder


def tidy(cache: Path, model: str, kept: Path) -> None:
    """Remove versions of a model that were asked for long ago; those in use stay loaded."""
    versions = sorted((cache / model).glob("[0-9a-f]*"), key=lambda one: one.stat().st_mtime)
    for old in versions[:-_KEPT]:
        if old != kept:
            shutil.rmtree(old, ignore_errors=True)


def load(source: Source, folder: str | Path) -> Served | ServedReranker:
    """Load a model and let it compute once: what is served has been seen to work.

    Raises:
        BadModel: it cannot be loaded, or what it computes are no vectors or scores.
        BadSetting, BadFile: something beside it does not fit.
    """
    found: Served | ServedReranker
    if source.kind == "model":
        found = load_model(source.name, folder)
    else:
        found = load_reading(source.name, folder)
    forward(found)
    return found


def load_model(name: str, where: str | Path) -> Served:
    """Load an encoder, with the dimensions and the names of prompts that its folder says."""
    encoder = TextEncoder.load(where)
    folder = locate(str(where))
    return Served(
        name=name, encoder=encoder, dims=trained_dims(folder, encoder.space.fingerprint),
        prompt_names=prompt_names(folder),
    )  # fmt: skip


def load_reading(name: str, where: str | Path) -> ServedReranker:
    """Load a reranker, with its calibration if it lies beside it."""
    reranker, folder = load_reranker(where), locate(str(where))
    calibration = None
    if (folder / CALIBRATION).is_file():
        calibration = read_calibration(folder, reranker=reranker.fingerprint)
    return ServedReranker(name=name, reranker=reranker, calibration=calibration)


def forward(served: Served | ServedReranker) -> None:
    """Compute once.

    Raises:
        BadModel: the result is not what clients could use.
    """
    if isinstance(served, Served):
        found = served.encoder.encode(["Does it compute?"], "query")
        expected: tuple[int, ...] = (1, served.dim)
    else:
        found, expected = served.reranker.score("Does it compute?", ["It does."]), (1,)
    if tuple(found.shape) != expected or not bool(torch.isfinite(found).all()):
        raise BadModel(
            f"{served.name}: expected {expected} finite numbers of one forward pass, found "
            f"{tuple(found.shape)}. The model is damaged, or memory is; take another version."
        )


def trained_dims(folder: Path, space: str) -> tuple[int, ...]:
    """Return the shorter vectors that a model was trained for, as its folder says.

    `nearfar.json` says it of what was trained here, and counts only if it is about this space;
    `matryoshka_dimensions` of config.json of others.
    """
    ours = _json(folder / "nearfar.json")
    if ours.get("space", {}).get("fingerprint") == space:
        trained = [set(task.get("loss", {}).get("matryoshka") or ()) for task in ours["tasks"]]
        return tuple(sorted(set.intersection(*trained))) if trained else ()
    theirs = _json(read_layout(folder).transformer / "config.json").get("matryoshka_dimensions")
    if not isinstance(theirs, list) or not all(type(dim) is int for dim in theirs):
        return ()
    return tuple(sorted(theirs))


def prompt_names(folder: Path) -> Mapping[str, Role]:
    """Return the names of a model's prompts that are those of its queries or its documents."""
    layout = read_layout(folder)
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    roles: dict[str, Role] = {}
    for name, prompt in prompts.items():
        if prompt == layout.query_prompt != layout.document_prompt:
            roles[name] = "query"
        elif prompt == layout.document_prompt != layout.query_prompt:
            roles[name] = "document"
    return roles


def _json(path: Path) -> dict[str, Any]:
    """Return what a small file of a model says; nothing if it is not there."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadFile(f"{path}: expected JSON ({error}). Take the model anew.") from error
    return found if isinstance(found, dict) else {}


def _is_sound(folder: Path, release: Release) -> bool:
    """Tell whether a version that was fetched before is still what was released."""
    inner = f"{MODEL}/"
    return all(
        (file := folder / path.removeprefix(inner)).is_file() and file_sha256(file) == digest
        for path, digest in release.files.items()
        if path.startswith(inner)
    )
