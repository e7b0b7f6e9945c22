"""An encoder that remembers: documents that two stages need are encoded once."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.model.encoder import Encoder
from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Role

_MOST_TEXTS = 200_000  # 300 MB at 384 dimensions; what comes after is encoded anew each time


class Remembering:
    """Gives the vectors of another encoder, which must not change meanwhile."""

    def __init__(self, encoder: Encoder) -> None:
        self.behind = encoder  # to be asked where its time is measured
        self._vectors: dict[tuple[Role, str], Tensor] = {}

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the encoder behind."""
        return self.behind.space

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return one vector per content; only texts not met before are encoded."""
        new = list(dict.fromkeys(c for c in contents if (role, c) not in self._vectors))
        if len(self._vectors) + len(new) > _MOST_TEXTS:
            return self.behind.encode(contents, role, progress=progress)
        if new:
            vectors = self.behind.encode(new, role, progress=progress)
            self._vectors.update(((role, c), v) for c, v in zip(new, vectors, strict=True))
        if not contents:
            return torch.empty(0, self.space.dim)
        return torch.stack([self._vectors[role, content] for content in contents])
