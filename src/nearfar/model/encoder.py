"""The one promise every model keeps."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Role


@runtime_checkable
class Encoder(Protocol):
    """Turns contents into vectors of one space. The only interface a new model must fill."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in."""
        ...

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return one float32 vector per content, in the order given, on the CPU."""
        ...
