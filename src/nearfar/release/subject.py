"""What is released: an encoder, or a reranker with the encoder whose candidates it was judged on.

A folder is loaded and held against its verdict here, before anything is said of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from nearfar.errors import BadFile, BadModel
from nearfar.model.calibration import read_calibration
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.rerankers import load_reranker
from nearfar.model.space import EmbeddingSpace
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.release.admission import judged_stages, require_reranker, require_space
from nearfar.release.two_stages import Stages
from nearfar.release.verdict import Verdict

_FACTS = "nearfar.json"  # what a training says of the model it made


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """A reranker: with whom it was judged, and how it reads."""

    stages: Stages
    max_tokens: int  # of a query and a document together
    words: tuple[str, str] | None  # yes and no of a language model; None of a cross-encoder
    calibrated: bool  # whether its scores become probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a verdict is about, once the model at hand has turned out to be it."""

    space: EmbeddingSpace  # its own; of a reranker that of the encoder that was judged with it
    reads: Reads | None = None  # a reranker

    @property
    def stages(self) -> Stages | None:
        """Return the two stages that a reranker was judged as; None of an encoder."""
        return None if self.reads is None else self.reads.stages


def subject_of(folder: Path, verdict: Verdict, called: str) -> Subject:
    """Load a model, and refuse it unless it is the one that was judged.

    Args:
        folder: of the model.
        verdict: that it was judged by.
        called: what people call it, for a message.

    Raises:
        DataMismatch: the verdict is on another model, or on another kind of model.
        BadModel: the folder cannot be loaded, or holds another kind of model than was judged.
        BadFile: the verdict was changed by hand.
    """
    stages = judged_stages(verdict)
    if stages is None and not _is_reranker(folder):
        space = TextEncoder.load(folder, TextSettings(device="cpu")).space
        require_space(verdict, space, called)
        return Subject(space=space)
    try:
        model = load_reranker(folder, CrossSettings(device="cpu"))
    except BadModel as error:
        why = str(error).replace(str(folder), called)  # people know it by its name
        raise BadModel(
            f"{called}: expected the reranker that was judged, found what cannot be loaded as one. "
            f"Name the reranker; its encoder is released by a verdict of its own.\n{why}"
        ) from error
    stages = require_reranker(verdict, model.fingerprint, called)
    words = None if isinstance(model, CrossEncoder) else (model.prompt.yes, model.prompt.no)
    reads = Reads(
        stages=stages,
        max_tokens=model.max_tokens,
        words=words,
        calibrated=_is_calibrated(folder, model.fingerprint),
    )
    return Subject(space=stages.encoder, reads=reads)


def _is_reranker(folder: Path) -> bool:
    """Tell whether a training says that it made a reranker here."""
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return "reranker" in facts
    except (OSError, ValueError, TypeError):
        return False


def _is_calibrated(folder: Path, reranker: str) -> bool:
    """Tell whether a calibration that holds for this very model lies beside it."""
    try:
        read_calibration(folder, reranker=reranker)
    except (BadFile, BadModel):
        return False
    return True
