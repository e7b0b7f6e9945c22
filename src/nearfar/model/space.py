"""What two vectors must share before their distance means anything."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from nearfar.errors import BadFile, SpaceMismatch
from nearfar.fingerprint import fingerprint

_DIGESTS = ("weights", "architecture", "tokenizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpace:
    """Every choice that moves a vector. Two spaces are one only if all of it agrees.

    Compute precision and storage compression are not here: they blur a vector without moving
    it to another place, and are recorded beside the space.
    """

    weights: str  # SHA-256 of the weight tensors, as float32
    architecture: str  # fingerprint of the model's configuration
    tokenizer: str  # SHA-256 of the tokenizer with its special tokens
    query_prompt: str
    document_prompt: str
    max_tokens: int  # special tokens and prompt included; the rest of a text is cut off
    pooling: str
    normalised: bool
    dim: int

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits: written beside every vector, report and index."""
        return fingerprint(asdict(self))

    def truncated(self, dim: int) -> "EmbeddingSpace":
        """Return the space of the first `dim` numbers; a different space, so a different name."""
        if not 0 < dim <= self.dim:
            raise ValueError(f"dim must be 1 to {self.dim}, got {dim}.")
        return replace(self, dim=dim)

    def to_json(self) -> dict[str, Any]:
        """Return every choice by name, with the fingerprint in front."""
        return {"fingerprint": self.fingerprint, **asdict(self)}

    @classmethod
    def from_json(cls, facts: dict[str, Any], *, where: str) -> "EmbeddingSpace":
        """Return the space that was written by `to_json`.

        Raises:
            BadFile: choices are missing or unknown, or the fingerprint is not theirs.
        """
        try:
            space = cls(**{name: facts[name] for name in facts if name != "fingerprint"})
            fingerprint = space.fingerprint
        except (TypeError, ValueError) as error:
            raise BadFile(f"{where}: not the description of a space ({error}).") from error
        if fingerprint != facts.get("fingerprint"):
            raise BadFile(
                f"{where}: the space says it is {facts.get('fingerprint')}, but its choices make "
                f"{fingerprint}. The file was changed by hand; build it again."
            )
        return space


def require_same_space(ours: EmbeddingSpace, theirs: EmbeddingSpace, *, to: str) -> None:
    """Stop before vectors of two spaces are mixed. `to` finishes "cannot ...".

    Raises:
        SpaceMismatch: names each choice that differs, both values, and the way out.
    """
    if ours == theirs:
        return
    differences = "\n".join(
        f"  {field.name}: {_shown(field.name, ours)} here, {_shown(field.name, theirs)} there"
        for field in fields(EmbeddingSpace)
        if getattr(ours, field.name) != getattr(theirs, field.name)
    )
    raise SpaceMismatch(
        f"Cannot {to}: the vectors live in different spaces "
        f"({ours.fingerprint} and {theirs.fingerprint}).\n{differences}\n"
        "Embed both sides with the same model folder, or rebuild the index with `nearfar index`."
    )


def _shown(name: str, space: EmbeddingSpace) -> str:
    value = getattr(space, name)
    # Of a digest the beginning will do; of two long prompts only the end may differ.
    return f"{value[:16]}..." if name in _DIGESTS and len(value) > 16 else repr(value)
